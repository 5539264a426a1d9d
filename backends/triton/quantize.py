"""Codes, and the numbers that they stand for, in one pass over the data."""

import torch
import triton
import triton.language as tl

from qcore.backends.triton.formats import nan_of, numbers_of
from qcore.backends.triton.launch import arguments_of, on_device_of
from qcore.backends.triton.layout import ELEMENTS, Layout
from qcore.backends.triton.rounding import (
    divided,
    half_even,
    narrowed,
    pattern_of,
    small_float,
    widened,
)
from qcore.backends.triton.tiles import tile
from qcore.formats import Format


@triton.jit
def divided_data(x_ptr, scale_ptr, offset, mask, place, is_there):
    """Return data as it is computed in, its scales, and the quotients of the two."""
    x = widened(tl.load(x_ptr + offset, mask=mask, other=0.0))
    scale = tl.load(scale_ptr + place, mask=is_there, other=1.0).to(x.dtype)
    return x, scale, divided(x, scale)


@triton.jit
def integer_steps(quotient, zero_ptr, place, is_there, low, high):
    """Return codes, saturated but where NaN; less zero points; and what was inside."""
    zero = tl.load(zero_ptr + place, mask=is_there, other=0).to(quotient.dtype)
    codes = half_even(quotient) + zero
    is_inside = (codes >= low) & (codes <= high)
    codes = tl.maximum(codes, low, propagate_nan=tl.PropagateNan.ALL)
    codes = tl.minimum(codes, high, propagate_nan=tl.PropagateNan.ALL)
    return codes, codes - zero, is_inside


@triton.jit
def float_steps(quotient, high, mantissa: tl.constexpr, first: tl.constexpr):
    """Return codes of magnitudes and the numbers rounded to, saturated or NaN."""
    magnitude = tl.abs(quotient)
    magnitude = tl.minimum(magnitude, high, propagate_nan=tl.PropagateNan.ALL)
    code, number = small_float(magnitude, mantissa, first)
    return code, number * tl.where(quotient < 0, -1.0, 1.0)


@triton.jit
def round_kernel(
    x_ptr,
    scale_ptr,
    zero_ptr,
    out_ptr,
    pieces,
    per_line,
    line,
    size,
    inner,
    scales,
    low,
    high,
    is_along: tl.constexpr,
    is_cut: tl.constexpr,
    is_cyclic: tl.constexpr,
    is_wide: tl.constexpr,
    rows: tl.constexpr,
    columns: tl.constexpr,
    mantissa: tl.constexpr,
    first: tl.constexpr,
    sign: tl.constexpr,
    nan: tl.constexpr,
    has_nan: tl.constexpr,
    is_coded: tl.constexpr,
):
    """Write codes if `is_coded`, else what they stand for, of a tile."""
    offset, mask, place, is_there, _ = tile(
        pieces,
        per_line,
        line,
        size,
        inner,
        scales,
        is_along,
        is_cut,
        is_cyclic,
        is_wide,
        rows,
        columns,
    )
    dtype: tl.constexpr = out_ptr.dtype.element_ty
    x, scale, quotient = divided_data(x_ptr, scale_ptr, offset, mask, place, is_there)
    is_nan = quotient != quotient
    if mantissa < 0:
        codes, steps, _ = integer_steps(quotient, zero_ptr, place, is_there, low, high)
        if is_coded:
            found = tl.where(is_nan, low, codes).to(tl.int32).to(dtype)
        else:
            found = narrowed(steps * scale, dtype)
    else:
        code, number = float_steps(quotient, high, mantissa, first)
        if is_coded:
            signed = tl.where(pattern_of(x) < 0, sign, 0)
            if has_nan:
                found = (tl.where(is_nan, nan, code) | signed).to(dtype)
            else:
                found = tl.where(is_nan, nan, code | signed).to(dtype)
        else:
            found = narrowed(number * scale, dtype)
    tl.store(out_ptr + offset, found, mask=mask)


def rounded(
    x: torch.Tensor,
    scale: torch.Tensor,
    zero_point: torch.Tensor,
    fmt: Format,
    layout: Layout,
    /,
    *,
    is_coded: bool,
    out: torch.Tensor | None = None,
    elements: int = ELEMENTS,
) -> torch.Tensor:
    """
    Return the codes of data, or what these stand for, as the reference has them.

    Parameters
    ----------
    x : torch.Tensor
        Contiguous floating-point data with elements.
    scale, zero_point : torch.Tensor
        Contiguous, an element for each scale of the layout, on the device of `x`.
    fmt : Format
        Whose codes.
    layout : Layout
        How the scales lie on the data.
    is_coded : bool
        Whether codes are asked for, not values.
    out : torch.Tensor, optional
        Where to write them.
    elements : int, optional
        Elements of a tile, a power of two.
    """
    if out is None:
        dtype = getattr(torch, fmt.storage) if is_coded else x.dtype
        out = torch.empty_like(x, dtype=dtype)
    told, programs = arguments_of(layout, elements)
    with on_device_of(x):
        round_kernel[(programs,)](
            x,
            scale,
            zero_point,
            out,
            **told,
            **numbers_of(fmt),
            **nan_of(fmt),
            is_coded=is_coded,
        )
    return out
