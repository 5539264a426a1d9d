"""Scales as one operator of PyTorch, so that no compiler divides its own way."""

import torch
from array_api_compat import torch as xp

from qcore.adapters.torch.operators.fake_quantize import format_of
from qcore.arithmetic import to_computing_dtype
from qcore.formats import IntFormat
from qcore.granularity import (
    Granularity,
    PerBlock,
    PerChannel,
    PerTensor,
    normalize_axes,
)
from qcore.qparams import qparams_from_range
from qcore.reduce import row_range
from qcore.spec import QParams, QuantSpec


def qparams_of_range(lo: torch.Tensor, hi: torch.Tensor, spec: QuantSpec, /) -> QParams:
    """
    Return `qcore.qparams_from_range`, also in a compiled function; scales are float32.

    Parameters
    ----------
    lo, hi : Tensor
        Ends of the ranges, in the shape the scales shall have.
    spec : QuantSpec
        How data is quantized.
    """
    fmt = spec.format
    scale, zero_point = torch.ops.qcore.scales(
        lo,
        hi,
        fmt.name,
        isinstance(fmt, IntFormat) and fmt.narrow,
        spec.symmetric,
        spec.scale_format,
        spec.scale_rounding,
    )
    return QParams(scale, zero_point, spec)


def range_of(
    x: torch.Tensor, granularity: Granularity, /
) -> tuple[torch.Tensor, torch.Tensor]:
    """
    Return the least and largest of values that share a scale, also when compiled.

    Parameters
    ----------
    x : Tensor
        Floating-point data of any shape.
    granularity : granularity
        Which elements share a scale.

    Returns
    -------
    lo, hi : Tensor
        float32 (float64 of such data), in the shape of the scales.
    """
    axes: list[int] = []
    block = (0, 0)
    if isinstance(granularity, PerBlock):
        block = granularity.axis, granularity.size
    elif isinstance(granularity, PerChannel):
        axes = list(normalize_axes(granularity.axis, x.ndim))
    lo, hi = torch.ops.qcore.ranges(x, axes, *block)
    return lo, hi


@torch.library.custom_op("qcore::ranges", mutates_args=())
def _ranges(
    x: torch.Tensor, axes: list[int], block_axis: int, block_size: int
) -> tuple[torch.Tensor, torch.Tensor]:
    granularity = _granularity(axes, block_axis, block_size)
    lo, hi = row_range(to_computing_dtype(x.detach(), xp=xp), granularity, xp=xp)
    return lo.clone(), hi.clone()  # an operator's results share no memory


@_ranges.register_fake
def _(
    x: torch.Tensor, axes: list[int], block_axis: int, block_size: int
) -> tuple[torch.Tensor, torch.Tensor]:
    dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
    shape = _granularity(axes, block_axis, block_size).scale_shape(tuple(x.shape))
    return x.new_empty(shape, dtype=dtype), x.new_empty(shape, dtype=dtype)


def _granularity(axes: list[int], block_axis: int, block_size: int) -> Granularity:
    if block_size:
        return PerBlock(block_axis, block_size)
    return PerChannel(tuple(axes)) if axes else PerTensor()


@torch.library.custom_op("qcore::scales", mutates_args=())
def _scales(
    lo: torch.Tensor,
    hi: torch.Tensor,
    format: str,
    narrow: bool,
    symmetric: bool,
    scale_format: str | None,
    scale_rounding: str | None,
) -> tuple[torch.Tensor, torch.Tensor]:
    spec = QuantSpec(
        format_of(format, narrow),
        symmetric=symmetric,
        scale_format=scale_format,
        scale_rounding=scale_rounding,
    )
    found = qparams_from_range(lo, hi, spec, xp=xp)
    return found.scale, found.zero_point


@_scales.register_fake
def _(
    lo: torch.Tensor, hi: torch.Tensor, *_: object
) -> tuple[torch.Tensor, torch.Tensor]:
    del hi
    scale = torch.empty_like(lo, dtype=torch.float32)
    return scale, torch.empty_like(lo, dtype=torch.int32)
