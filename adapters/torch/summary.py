"""A table of a model's quantizers."""

import sys

import torch
from torch import nn

from qcore.adapters.torch.given_model import check_model
from qcore.adapters.torch.nn.modules.tensor_quantizer import TensorQuantizer
from qcore.adapters.torch.quantizer.lookup import named_quantizers

_HEADER = ("quantizer", "format", "shared by", "range", "stages")


def summary(model: nn.Module, /) -> str:
    """
    Return a table of the quantizers in a model.

    Parameters
    ----------
    model : Module
        Any.

    Returns
    -------
    str
        A line for each quantizer: its name, the format of its codes, which elements
        share a scale, the range (the widest of several, and their number) and what it
        does with data. A line for all if there is none.

    Raises
    ------
    TypeError
        If `model` is no module.
    """
    check_model(model)
    rows = [
        (name or "the model", *_cells(quantizer))
        for name, quantizer in named_quantizers(model).items()
    ]
    if not rows:
        return "no quantizers"
    widths = [max(map(len, column)) for column in zip(_HEADER, *rows, strict=True)]
    return "\n".join(
        "  ".join(map(str.ljust, row, widths)).rstrip() for row in (_HEADER, *rows)
    )


def print_summary(model: nn.Module, /) -> None:
    """Print the table of `summary`, as the name says."""
    sys.stdout.write(f"{summary(model)}\n")


def _cells(quantizer: TensorQuantizer) -> tuple[str, str, str, str]:
    if quantizer.num_bits == 0:
        return "0bit", "", "", _stages(quantizer)
    spec = quantizer.spec
    return (
        quantizer.descriptor.format or spec.format.name,
        _shared(quantizer),
        _range(quantizer),
        _stages(quantizer),
    )


def _shared(quantizer: TensorQuantizer) -> str:
    descriptor = quantizer.descriptor
    if descriptor.block_sizes is not None:
        ((blocked, size),) = descriptor.block_sizes.items()
        return f"blocks of {size} on axis {blocked}"
    axis = descriptor.axis
    return "tensor" if axis is None else f"channel of axis {axis}"


def _range(quantizer: TensorQuantizer) -> str:
    if quantizer.is_learned():
        return "learned"
    if not quantizer.has_range():
        return "dynamic"
    widened = quantizer.scale_amax or 1.0
    lo, hi = quantizer.ends()
    if quantizer.spec.symmetric and not quantizer.spec.format.signed:
        lo = torch.zeros_like(hi)
    number = f" ({hi.numel()})" if hi.numel() != 1 else ""
    return f"[{float(lo.min()) * widened:.4g}, {float(hi.max()) * widened:.4g}]{number}"


def _stages(quantizer: TensorQuantizer) -> str:
    if not quantizer.is_enabled:
        return "disabled"
    stages = quantizer.stages
    shown = {
        "scale": quantizer.pre_quant_scale is not None,
        "calib": stages.calibrates,
        "clip": stages.clips,
        "quant": stages.quantizes,
    }
    return " ".join(name for name, is_on in shown.items() if is_on) or "none"
