"""Calibration of weights, which are all there at once."""

from typing import Any

import torch
from torch import nn

from qcore.adapters.torch.calib.calibrator import data_of
from qcore.adapters.torch.given_model import check_model
from qcore.calibrate import compute_range
from qcore.granularity import Granularity, PerChannel, PerTensor
from qcore.statistics import Histogram

_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_METHODS = ("max", "mse", "percentile")


def weight_axis(module: nn.Module, /) -> int:
    """Return the axis of output channels of a layer's weights."""
    return 1 if isinstance(module, _TRANSPOSED) else 0


@torch.no_grad()
def calibrate_weights(
    model: nn.Module,
    method: str = "percentile",
    perchannel: bool = True,
    percentile: float = 99.99,
    num_bins: int = 2048,
) -> None:
    """
    Set amax of every weight quantizer from the weights.

    Parameters
    ----------
    model : Module
        Every child that has `weight` and `weight_quantizer` is calibrated.
    method : {"percentile", "mse", "max"}, optional
        Wins over the calibrator of the quantizer.
    perchannel : bool, optional
        One amax for each output channel (axis 0, of transposed convolutions 1), in the
        rank of the weights; else one for all.
    percentile : float, optional
        Of that method, in [0, 100].
    num_bins : int, optional
        Resolution of the histograms.

    Raises
    ------
    TypeError
        If the method is not one of these, or `model` no module.
    NonFiniteError
        If weights hold NaN or infinity; names the module.
    """
    check_model(model)
    if not isinstance(method, str) or method not in _METHODS:
        raise TypeError(f"`method` must be one of {_METHODS}; got {method!r}.")
    options: dict[str, Any] = {}
    if method == "percentile":
        options["percentile"] = percentile
    for name, module in model.named_modules():
        if not (hasattr(module, "weight") and hasattr(module, "weight_quantizer")):
            continue
        granularity: Granularity = PerTensor()
        if perchannel:
            granularity = PerChannel(weight_axis(module))
        data = data_of(module.weight)
        seen = Histogram.of(data, bins=num_bins, granularity=granularity)
        quantizer = module.weight_quantizer
        try:
            lo, hi = compute_range(seen, quantizer.spec, method, **options)
        except ValueError as error:
            raise type(error)(f"weights of {name!r}: {error}") from error
        quantizer.replace_range(lo.reshape(seen.extents), hi.reshape(seen.extents))
