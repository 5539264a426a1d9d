"""The gradient of fake quantization in one pass over gradient and data.

Each program sums the scale gradient over its tile in float64 and writes the sum to a
place of its own; these are then added up in a fixed order. So equal calls give equal
bits.
"""

import torch
import triton
import triton.language as tl

from qcore.backends.triton.formats import numbers_of
from qcore.backends.triton.launch import arguments_of, on_device_of
from qcore.backends.triton.layout import Layout, tile_of
from qcore.backends.triton.quantize import divided_data, float_steps, integer_steps
from qcore.backends.triton.rounding import widened
from qcore.backends.triton.tiles import tile
from qcore.formats import Format

ELEMENTS = 2048
"""Elements of a tile: fewer than where only rounding asks for registers."""


@triton.jit
def gradient_kernel(
    gradient_ptr,
    x_ptr,
    scale_ptr,
    zero_ptr,
    out_ptr,
    sum_ptr,
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
):
    """Write the gradient of the data of a tile, and its part of that of the scales."""
    offset, mask, place, is_there, summed = tile(
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
    gradient = tl.load(gradient_ptr + offset, mask=mask, other=0.0)
    x, _, quotient = divided_data(x_ptr, scale_ptr, offset, mask, place, is_there)
    if mantissa < 0:
        _, steps, is_inside = integer_steps(
            quotient, zero_ptr, place, is_there, low, high
        )
    else:
        is_inside = tl.abs(quotient) <= high
        _, steps = float_steps(quotient, high, mantissa, first)
    # The quotient of a zero is a speck, or less where scales are almost subnormal.
    slope = steps - tl.where(is_inside & (x != 0), quotient, 0.0)
    tl.store(out_ptr + offset, tl.where(is_inside, gradient, 0.0), mask=mask)

    part = widened(gradient).to(tl.float64) * slope.to(tl.float64)
    part = tl.where(mask, part, 0.0)
    if is_along and rows == 1:
        total = tl.sum(part, axis=0)
    else:
        total = tl.sum(part, axis=1 if is_along else 0, keep_dims=True)
    tl.store(sum_ptr + summed, total, mask=is_there)


def fake_quantize_gradient(
    gradient: torch.Tensor,
    x: torch.Tensor,
    scale: torch.Tensor,
    zero_point: torch.Tensor,
    fmt: Format,
    layout: Layout,
    /,
    *,
    out: torch.Tensor | None = None,
    elements: int = ELEMENTS,
) -> tuple[torch.Tensor, torch.Tensor]:
    """
    Return the gradients of data and scales.

    Parameters
    ----------
    gradient, x : torch.Tensor
        Contiguous, of one shape.
    scale, zero_point : torch.Tensor
        Contiguous, an element for each scale of the layout.
    fmt : Format
        That was rounded to.
    layout : Layout
        How the scales lie on the data.
    out : torch.Tensor, optional
        Where to write the gradient of the data.
    elements : int, optional
        Elements of a tile, a power of two.

    Returns
    -------
    of_x : torch.Tensor
        Of shape and dtype of `gradient`.
    of_scale : torch.Tensor
        float32, of the shape of `scale`.
    """
    out = torch.empty_like(gradient) if out is None else out
    told, programs = arguments_of(layout, elements)
    sums = torch.empty(
        _sums_shape(layout, elements), dtype=torch.float64, device=x.device
    )
    with on_device_of(x):
        gradient_kernel[(programs,)](
            gradient,
            x,
            scale,
            zero_point,
            out,
            sums,
            **told,
            **numbers_of(fmt),
        )
        of_scale = sums.sum((0, 2) if layout.is_along else 1)
    return out, of_scale.to(torch.float32).reshape(scale.shape)


def _sums_shape(layout: Layout, elements: int, /) -> tuple[int, int, int]:
    """Return the shape of the partial sums.

    Along: repeats of the scales, scales, parts of a piece; else pieces, parts of a
    piece, scales of an item.
    """
    rows, columns, _ = tile_of(layout, elements)
    if layout.is_along:
        blocks = -(-layout.size // columns)
        return layout.pieces // layout.scales, layout.scales, blocks
    return layout.pieces, -(-layout.size // rows), layout.inner
