"""Triton: the errors inside and beyond a range, of steps finer than slots.

And what these tell: which windows lose no more to saturation than to rounding.
"""

import torch
import triton
import triton.language as tl

from qcore.backends.triton.search_density import placed, tails_of
from qcore.backends.triton.search_grid import by_channel, candidates_of, grid_of, launch

BLOCK = 512
"""Candidates of a program."""


@triton.jit
def fine_parts(tail, slots, step, reach):
    """Return what `qcore.methods.squared_error.fine_parts` does."""
    slot, part = placed(reach, slots)
    length = slots + 1
    half = tl.load(tail + slot)
    mass = tl.load(tail + length + slot)
    excess = tl.load(tail + 2 * length + slot)
    square = tl.load(tail + 3 * length + slot)
    saturated = square - part * (2 * excess - part * (mass - part * half * (2 / 3)))
    inside = tl.load(tail + length) - (mass - 2 * part * half)
    return step * step * (1 / 12) * inside, saturated


@triton.jit
def both_parts(tails, slots, step, below, above):
    """Return the errors inside and beyond the reaches below and above zero."""
    rounded, lost = fine_parts(tails, slots, step, below)
    more_rounded, more_lost = fine_parts(tails + 4 * (slots + 1), slots, step, above)
    return rounded + more_rounded, lost + more_lost


@triton.jit
def fine_errors(
    tails_ptr,
    slots,
    steps_ptr,
    steps_stride,
    below_ptr,
    below_stride,
    above_ptr,
    above_stride,
    candidates,
    errors_ptr,
    block: tl.constexpr,
):
    """Write the errors of ranges. The tails are those of both signs."""
    channel, candidate = candidates_of(candidates, block)
    there = candidate < candidates
    steps = steps_ptr + channel * steps_stride
    below = below_ptr + channel * below_stride
    above = above_ptr + channel * above_stride
    rounded, lost = both_parts(
        tails_ptr + channel * 8 * (slots + 1),
        slots,
        tl.load(steps + candidate, mask=there, other=0.0),
        tl.load(below + candidate, mask=there, other=0.0),
        tl.load(above + candidate, mask=there, other=0.0),
    )
    tl.store(errors_ptr + channel * candidates + candidate, rounded + lost, mask=there)


@triton.jit
def compare(
    tails_ptr,
    slots,
    steps_ptr,
    steps_stride,
    below_ptr,
    below_stride,
    above_ptr,
    above_stride,
    windows,
    errors_ptr,
    balanced_ptr,
    has_errors: tl.constexpr,
    block: tl.constexpr,
):
    """Write whether windows are balanced, by whole errors if there are any.

    The tails are those of both signs.
    """
    channel, window = candidates_of(windows, block)
    there = window < windows
    at = channel * windows + window
    tails = tails_ptr + channel * 8 * (slots + 1)
    steps = steps_ptr + channel * steps_stride
    below = below_ptr + channel * below_stride
    above = above_ptr + channel * above_stride
    rounded, lost = both_parts(
        tails,
        slots,
        tl.load(steps + window, mask=there, other=0.0),
        tl.load(below + window, mask=there, other=0.0),
        tl.load(above + window, mask=there, other=0.0),
    )
    if has_errors:
        rounded = tl.load(errors_ptr + at, mask=there, other=0.0) - lost
    widest = windows - 1
    _, least = both_parts(
        tails,
        slots,
        tl.load(steps + widest),
        tl.load(below + widest),
        tl.load(above + widest),
    )
    tl.store(balanced_ptr + at, (lost - least <= rounded).to(tl.uint8), mask=there)


def errors_within(
    counts: torch.Tensor,
    steps: torch.Tensor,
    below: torch.Tensor,
    above: torch.Tensor,
    shape: tuple[int, int],
) -> torch.Tensor:
    """Return the errors of ranges, float64 of a shape ``[C, S]``.

    Steps and how far they reach below and above zero are given in slots.
    """
    errors = counts.new_empty(shape, dtype=torch.float64)
    launch(
        fine_errors,
        grid_of(errors, BLOCK),
        tails_of(counts),
        counts.shape[2],
        *by_channel(steps),
        *by_channel(below),
        *by_channel(above),
        errors.shape[1],
        errors,
        block=BLOCK,
    )
    return errors


def is_balanced(
    counts: torch.Tensor,
    steps: torch.Tensor,
    below: torch.Tensor,
    above: torch.Tensor,
    errors: torch.Tensor | None,
) -> torch.Tensor:
    """Return whether windows are balanced, by whole errors if they are given."""
    shape = counts.shape[0], steps.shape[1]
    balanced = counts.new_empty(shape, dtype=torch.uint8)
    launch(
        compare,
        grid_of(balanced, BLOCK),
        tails_of(counts),
        counts.shape[2],
        *by_channel(steps),
        *by_channel(below),
        *by_channel(above),
        balanced.shape[1],
        steps if errors is None else errors,
        balanced,
        has_errors=errors is not None,
        block=BLOCK,
    )
    return balanced.view(torch.bool)
