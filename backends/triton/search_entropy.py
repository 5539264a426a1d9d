"""Triton: the divergence of the entropy search's windows.

A lane has a window: those of neighbouring windows put the edge of a group into
neighbouring slots, which one access to memory reads. A group costs a lookup at its
upper edge, a division and a logarithm.
"""

from functools import lru_cache

import torch
import triton
import triton.language as tl

from qcore.backends.triton.search_grid import (
    TABLES,
    allowed_of,
    by_channel,
    flags,
    grid_of,
    launch,
)

SLOTS = 1024
"""Of the slots of a channel, so many are summed at once."""
WINDOWS = 256
"""Of a program."""


@triton.jit
def x_log_x(x):
    """Return ``x ln x`` of counts, 0 at 0."""
    return x * tl.log(tl.maximum(x, 1.0))


@triton.jit
def fill_sums(
    line_ptr, count_ptr, filled_ptr, information_ptr, slots, block: tl.constexpr
):
    """Write the sums of `qcore.methods.divergence.Sums`, a channel in each program.

    From counts int64 ``[C, slots]`` to ``[C, slots + 1]`` of float64, int32, float64.
    """
    channel = tl.program_id(0).to(tl.int64)
    line = line_ptr + channel * slots
    at = channel * (slots + 1)
    count_below = tl.full((), 0.0, tl.float64)
    filled_below = tl.full((), 0, tl.int32)
    information_below = tl.full((), 0.0, tl.float64)
    start = 0
    while start <= slots:
        edge = start + tl.arange(0, block)
        there = edge <= slots
        # What lies below an edge is the slot before it and all below that.
        holds = there & (edge > 0)
        h = tl.load(line + edge - 1, mask=holds, other=0).to(tl.float64)
        is_filled = (h > 0).to(tl.int32)
        information = x_log_x(h)
        tl.store(count_ptr + at + edge, count_below + tl.cumsum(h, 0), mask=there)
        tl.store(
            filled_ptr + at + edge, filled_below + tl.cumsum(is_filled, 0), mask=there
        )
        tl.store(
            information_ptr + at + edge,
            information_below + tl.cumsum(information, 0),
            mask=there,
        )
        count_below += tl.sum(h, 0)
        filled_below += tl.sum(is_filled, 0)
        information_below += tl.sum(information, 0)
        start += block


@triton.jit
def rounded_up(place):
    """Return what `qcore.methods.divergence.rounded_up` does, as int32."""
    return tl.ceil(place - 1e-11).to(tl.int32)


@triton.jit
def merge(count, filled, first, width, cells_ptr, groups):
    """Return the sum over groups of S ln(S / n) of windows."""
    total = tl.zeros_like(width)
    below = tl.load(count + first)
    filled_below = tl.load(filled + first)
    group = 0
    while group < groups:
        group += 1
        edge = first + rounded_up(width * tl.load(cells_ptr + group))
        above = tl.load(count + edge)
        filled_above = tl.load(filled + edge)
        held = above - below
        slots = tl.maximum(filled_above - filled_below, 1)
        total += held * tl.log(tl.maximum(held, 1.0) / slots)
        below, filled_below = above, filled_above
    return total


@triton.jit
def outlier_terms(count, filled, start, slot, stop, slots, outliers):
    """Return what outliers add that count in an end slot of these groups."""
    start, stop = tl.minimum(start, slots), tl.minimum(stop, slots)
    slot = tl.maximum(slot, 0)
    held = tl.load(count + tl.minimum(slot + 1, slots)) - tl.load(count + slot)
    # In a window of fewer slots than groups the slot may be all of its group.
    group = tl.maximum(tl.load(count + stop) - tl.load(count + start), held)
    number = tl.maximum(tl.load(filled + stop) - tl.load(filled + start), 1)
    added = x_log_x(held + outliers) - x_log_x(held)
    added -= outliers * tl.log(tl.maximum(group, 1.0) / number)
    return tl.where((outliers > 0) & (held == 0), float("inf"), added)


@triton.jit
def windows_of(
    first_ptr,
    first_stride,
    last_ptr,
    last_stride,
    allowed_ptr,
    windows,
    block: tl.constexpr,
):
    """Return what `allowed_of` does of windows, and the edges of those allowed."""
    channel, window, at, there, allowed = allowed_of(allowed_ptr, windows, block)
    first = tl.load(first_ptr + channel * first_stride + window, mask=allowed, other=0)
    last = tl.load(last_ptr + channel * last_stride + window, mask=allowed, other=0)
    return channel, at, there, allowed, first.to(tl.int32), last.to(tl.int32)


@triton.jit
def score(
    count_ptr,
    filled_ptr,
    information_ptr,
    slots,
    first_ptr,
    first_stride,
    last_ptr,
    last_stride,
    allowed_ptr,
    windows,
    cells_ptr,
    groups,
    values_ptr,
    is_even: tl.constexpr,
    block: tl.constexpr,
):
    """Write the sums over groups of S ln(S / n) of windows, where allowed."""
    channel, at, _, allowed, first, last = windows_of(
        first_ptr, first_stride, last_ptr, last_stride, allowed_ptr, windows, block
    )
    count = count_ptr + channel * (slots + 1)
    filled = filled_ptr + channel * (slots + 1)
    width = (last - first).to(tl.float64)
    is_wide = allowed
    if is_even:
        is_wide = allowed & (last - first > groups)
    number = groups * tl.max(is_wide.to(tl.int32), 0)
    value = merge(count, filled, first, width, cells_ptr, number)
    if is_even:
        # A group has at most one slot where there are no fewer groups than slots.
        information = information_ptr + channel * (slots + 1)
        known = tl.load(information + last) - tl.load(information + first)
        value = tl.where(is_wide, value, known)
    tl.store(values_ptr + at, value, mask=allowed)


@triton.jit
def diverge(
    count_ptr,
    filled_ptr,
    information_ptr,
    slots,
    first_ptr,
    first_stride,
    last_ptr,
    last_stride,
    allowed_ptr,
    windows,
    beside_ptr,
    cells_ptr,
    groups,
    values_ptr,
    block: tl.constexpr,
):
    """Write divergences in place of sums over groups, infinity where not allowed.

    The loop over groups is apart: with fewer registers more programs run at a time.
    """
    channel, at, there, allowed, first, last = windows_of(
        first_ptr, first_stride, last_ptr, last_stride, allowed_ptr, windows, block
    )
    count = count_ptr + channel * (slots + 1)
    filled = filled_ptr + channel * (slots + 1)
    information = information_ptr + channel * (slots + 1)
    width = (last - first).to(tl.float64)
    aside = tl.load(beside_ptr + channel).to(tl.float64)
    total = tl.load(count + slots) + aside
    below, above = tl.load(count + first), tl.load(count + last)
    second = first + rounded_up(width * tl.load(cells_ptr + 1))
    final = first + rounded_up(width * tl.load(cells_ptr + groups - 1))
    outside = total - aside - above
    kept = tl.load(information + last) - tl.load(information + first)
    kept += outlier_terms(count, filled, first, first, second, slots, below + aside)
    kept += outlier_terms(count, filled, final, last - 1, last, slots, outside)
    merged = tl.load(values_ptr + at, mask=allowed, other=0.0)
    inside, every = above - below, tl.maximum(total, 1.0)
    value = (kept - merged) / every + tl.log(tl.maximum(inside, 1.0) / every)
    # A smaller one is rounding error.
    value = tl.where(value < 1e-12, 0.0, value)
    value = tl.where(allowed & (inside > 0), value, float("inf"))
    tl.store(values_ptr + at, value, mask=there)


def merged_information(
    line: torch.Tensor,
    first: torch.Tensor,
    last: torch.Tensor,
    allowed: torch.Tensor,
    cells: tuple[float, ...],
    /,
) -> torch.Tensor:
    """Return what the kernel of this name does, zero for windows not allowed."""
    sums, windows = _sums(line), _windows(first, last, allowed)
    return _merged(sums, windows, cells)


def divergence(
    line: torch.Tensor,
    first: torch.Tensor,
    last: torch.Tensor,
    allowed: torch.Tensor,
    /,
    *,
    beside: torch.Tensor,
    cells: tuple[float, ...],
) -> torch.Tensor:
    """Return what the kernel of this name does, infinity for windows not allowed."""
    sums, windows = _sums(line), _windows(first, last, allowed)
    values = _merged(sums, windows, cells)
    launch(
        diverge,
        grid_of(values, WINDOWS),
        *sums,
        *windows,
        beside.contiguous(),
        _fractions(cells, line.device),
        len(cells) - 1,
        values,
        block=WINDOWS,
    )
    return values


def _sums(line: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, int]:
    """Return running sums ``[C, slots + 1]`` and how many slots there are."""
    channels, slots = line.shape
    shape = channels, slots + 1
    counts, information = (line.new_empty(shape, dtype=torch.float64) for _ in range(2))
    sums = counts, line.new_empty(shape, dtype=torch.int32), information
    block = min(SLOTS, 1 << slots.bit_length())
    launch(fill_sums, (channels,), line.contiguous(), *sums, slots, block=block)
    return *sums, slots


def _windows(
    first: torch.Tensor, last: torch.Tensor, allowed: torch.Tensor
) -> tuple[torch.Tensor, int, torch.Tensor, int, torch.Tensor, int]:
    """Return what kernels are told of windows."""
    return *by_channel(first), *by_channel(last), flags(allowed), allowed.shape[1]


def _merged(
    sums: tuple[torch.Tensor, torch.Tensor, torch.Tensor, int],
    windows: tuple[torch.Tensor, int, torch.Tensor, int, torch.Tensor, int],
    cells: tuple[float, ...],
) -> torch.Tensor:
    """Return the sums over groups, zero for windows not allowed."""
    allowed, groups = windows[4], len(cells) - 1
    values = torch.zeros_like(allowed, dtype=torch.float64)
    launch(
        score,
        grid_of(values, WINDOWS),
        *sums,
        *windows,
        _fractions(cells, allowed.device),
        groups,
        values,
        is_even=cells == tuple(k / groups for k in range(groups + 1)),
        block=WINDOWS,
    )
    return values


@lru_cache(TABLES)
def _fractions(cells: tuple[float, ...], device: torch.device) -> torch.Tensor:
    """Return edges of groups on a device."""
    return torch.tensor(cells, dtype=torch.float64, device=device)
