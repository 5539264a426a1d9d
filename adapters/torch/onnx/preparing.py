"""A model made ready to be exported: checked, its scales as ONNX has them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import nn

from qcore.adapters.onnx_formats import limits_of, type_of
from qcore.adapters.torch.nn.modules.tensor_quantizer import TensorQuantizer
from qcore.adapters.torch.onnx.operators import QuantizeDequantize
from qcore.adapters.torch.operators.fake_quantize import quantize
from qcore.adapters.torch.quantizer.lookup import named_quantizers
from qcore.errors import NoDataError, QuantError
from qcore.formats import IntFormat
from qcore.spec import QParams


@contextmanager
def prepared(model: nn.Module, /) -> Iterator[dict[str, QuantizeDequantize]]:
    """
    Give the quantizers of a model what they export, as long as the block lasts.

    Learned scales and ranges are frozen as they are. Nothing of the model changes for
    good.

    Parameters
    ----------
    model : Module
        Its quantizers that are on must be calibrated.

    Yields
    ------
    dict
        What quantizers export, by the name of the quantizer.

    Raises
    ------
    NoDataError
        If quantizers are not calibrated; names every one.
    QuantError
        If quantizers collect statistics, or return codes, or if ONNX cannot say what
        one does; names them.
    """
    active = active_quantizers(model)
    _check_stages(active)
    fitting = _fitting_weights(model, set(active.values()))
    operators = {
        name: _operators(name, quantizer, fitting) for name, quantizer in active.items()
    }
    try:
        for name, quantizer in active.items():
            quantizer.onnx = operators[name]
        yield operators
    finally:
        for quantizer in active.values():
            quantizer._modules.pop("onnx", None)


def active_quantizers(model: nn.Module, /) -> dict[str, TensorQuantizer]:
    """Return the quantizers that are on and quantize, by name."""
    return {
        name: quantizer
        for name, quantizer in named_quantizers(model).items()
        if quantizer.is_enabled
        and quantizer.stages.quantizes
        and quantizer.num_bits != 0
    }


def _check_stages(active: Mapping[str, TensorQuantizer]) -> None:
    if missing := [
        name for name, quantizer in active.items() if not _has_scale(quantizer)
    ]:
        raise NoDataError(
            f"every quantizer must be calibrated, or disabled, before export; not so "
            f"are {', '.join(missing)}."
        )
    if collecting := [name for name, q in active.items() if q.stages.calibrates]:
        raise QuantError(
            f"no quantizer may collect statistics while it is exported; call "
            f"`disable_calib` of {', '.join(collecting)}."
        )
    if codes := [name for name, q in active.items() if not q.fake_quant]:
        raise QuantError(
            f"`fake_quant` must be true of every exported quantizer; it is false of "
            f"{', '.join(codes)}."
        )


def _has_scale(quantizer: TensorQuantizer) -> bool:
    """Return whether there is a scale, and every one is a number."""
    if not (quantizer.has_range() or quantizer.is_learned()):
        return False
    return bool(torch.isfinite(quantizer.frozen_qparams().scale).all())


def _operators(
    name: str, quantizer: TensorQuantizer, fitting: set[TensorQuantizer]
) -> QuantizeDequantize:
    try:
        return QuantizeDequantize(
            quantizer.frozen_qparams(), saturates=quantizer not in fitting
        )
    except QuantError as error:
        raise type(error)(f"{name!r} cannot be exported: {error}") from error


@torch.no_grad()
def _fitting_weights(
    model: nn.Module, active: set[TensorQuantizer]
) -> set[TensorQuantizer]:
    """Return quantizers of nothing but weights whose codes all are of the format.

    Clipping the others is one more node between weights and QuantizeLinear, where
    TensorRT wants none.
    """
    fit: dict[TensorQuantizer, bool] = {}
    for module in model.modules():
        weight = getattr(module, "weight", None)
        quantizer = getattr(module, "_weight_quantizer", None)
        if weight is not None and quantizer in active:
            assert isinstance(quantizer, TensorQuantizer)
            fit[quantizer] = fit.get(quantizer, True) and _fits(weight, quantizer)
    return {quantizer for quantizer, fits in fit.items() if fits}


def _fits(weight: torch.Tensor, quantizer: TensorQuantizer) -> bool:
    """Return whether no code in the wider type is beyond those of the format."""
    now = quantizer.frozen_qparams()
    fmt = now.spec.format
    if quantizer.pre_quant_scale is not None or limits_of(fmt) == (None, None):
        return False
    assert isinstance(fmt, IntFormat)
    spec = replace(now.spec, format=type_of(fmt).name)
    codes = quantize(weight, QParams(now.scale, now.zero_point, spec)).to(torch.int32)
    return int(codes.min()) >= fmt.qmin and int(codes.max()) <= fmt.qmax
