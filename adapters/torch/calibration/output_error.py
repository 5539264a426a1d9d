"""Ranges of weights under which the output of their layer changes least."""

import torch
from array_api_compat import torch as xp
from torch import nn

from qcore.adapters.torch.calibration.weight_operands import weights_of
from qcore.adapters.torch.nn.modules.tensor_quantizer import TensorQuantizer
from qcore.adapters.torch.quantizer.lookup import quantizers_of
from qcore.statistics import Histogram
from qcore.weights import amax_from_weights, mean_ratio

OUTPUT = "output"
"""The `calib_method` that asks for it; of other quantizers it means the maximum."""


@torch.no_grad()
def fit_weights(model: nn.Module, /) -> None:
    """
    Set the ranges of weights whose method is ``"output"``; see `qparams_from_weights`.

    Parameters
    ----------
    model : Module
        Whose quantizers of inputs have collected; where they have no histogram, the
        inputs are taken to have the mean zero.
    """
    for module in model.modules():
        quantizers = quantizers_of(module, "weight")
        if not any(map(_is_asked_for, quantizers)):
            continue
        inputs: list[TensorQuantizer | None] = [*quantizers_of(module, "input")]
        inputs = inputs or [None] * len(quantizers)
        for quantizer, weight, seen in zip(
            quantizers, weights_of(module), inputs, strict=True
        ):
            if _is_asked_for(quantizer):
                spec = quantizer.spec
                ratio = _ratio(seen)
                amax, _ = amax_from_weights(weight, spec, ratio, xp=xp)
                quantizer.replace_range(-amax, amax)


def _is_asked_for(quantizer: TensorQuantizer) -> bool:
    desc = quantizer.descriptor
    is_fixed = desc.amax is not None or not quantizer.is_enabled
    return desc.calib_method == OUTPUT and desc.symmetric and not is_fixed


def _ratio(quantizer: TensorQuantizer | None) -> float:
    """Return squared mean over variance of the inputs, 0 where it is not known."""
    calibrator = None if quantizer is None else quantizer.calibrator
    seen = None if calibrator is None else calibrator.statistics
    if not isinstance(seen, Histogram):
        return 0.0
    return float(mean_ratio(seen).mean())
