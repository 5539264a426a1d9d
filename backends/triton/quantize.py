"""Codes, and the numbers that they stand for, in one pass over the data."""

from typing import Any

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
def integer_steps(quotient, zero, low, high):
    """Return codes, saturated but where NaN, and whether they were in the range."""
    codes = half_even(quotient) + zero
    is_inside = (codes >= low) & (codes <= high)
    return tl.minimum(tl.maximum(codes, low), high), is_inside


@triton.jit
def float_steps(quotient, high, mantissa: tl.constexpr, first: tl.constexpr):
    """Return codes of magnitudes and the numbers rounded to, both saturated."""
    magnitude = tl.minimum(tl.abs(quotient), high)
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
    x = widened(tl.load(x_ptr + offset, mask=mask, other=0.0))
    scale = tl.load(scale_ptr + place, mask=is_there, other=1.0).to(x.dtype)
    quotient = divided(x, scale)
    is_nan = quotient != quotient
    if mantissa < 0:
        zero = tl.load(zero_ptr + place, mask=is_there, other=0).to(x.dtype)
        codes, _ = integer_steps(quotient, zero, low, high)
        if is_coded:
            found = tl.where(is_nan, low, codes).to(tl.int32).to(dtype)
        else:
            found = narrowed(tl.where(is_nan, quotient, (codes - zero) * scale), dtype)
    else:
        code, number = float_steps(quotient, high, mantissa, first)
        if is_coded:
            signed = tl.where(pattern_of(x) < 0, sign, 0)
            if has_nan:
                found = (tl.where(is_nan, nan, code) | signed).to(dtype)
            else:
                found = tl.where(is_nan, nan, code | signed).to(dtype)
        else:
            found = narrowed(tl.where(is_nan, quotient, number * scale), dtype)
    tl.store(out_ptr + offset, found, mask=mask)


def quantize(
    x: torch.Tensor,
    scale: torch.Tensor,
    zero_point: torch.Tensor,
    fmt: Format,
    layout: Layout,
    /,
    *,
    out: torch.Tensor | None = None,
    elements: int = ELEMENTS,
) -> torch.Tensor:
    """
    Return the codes of data, as the reference has them.

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
    out : torch.Tensor, optional
        Where to write the codes.
    elements : int, optional
        Elements of a tile, a power of two.
    """
    if out is None:
        out = torch.empty_like(x, dtype=getattr(torch, fmt.storage))
    _start(x, scale, zero_point, out, fmt, layout, elements, is_coded=True)
    return out


def fake_quantize(
    x: torch.Tensor,
    scale: torch.Tensor,
    zero_point: torch.Tensor,
    fmt: Format,
    layout: Layout,
    /,
    *,
    out: torch.Tensor | None = None,
    elements: int = ELEMENTS,
) -> torch.Tensor:
    """Return data rounded to what its codes stand for; arguments as of `quantize`."""
    out = torch.empty_like(x) if out is None else out
    _start(x, scale, zero_point, out, fmt, layout, elements, is_coded=False)
    return out


def _start(
    x: torch.Tensor,
    scale: torch.Tensor,
    zero_point: torch.Tensor,
    out: torch.Tensor,
    fmt: Format,
    layout: Layout,
    elements: int,
    *,
    is_coded: bool,
) -> None:
    told, programs = arguments_of(layout, elements)
    nan: dict[str, Any] = nan_of(fmt)
    with on_device_of(x):
        round_kernel[(programs,)](
            x,
            scale,
            zero_point,
            out,
            **told,
            **numbers_of(fmt),
            **nan,
            is_coded=is_coded,
        )
