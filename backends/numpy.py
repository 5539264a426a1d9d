"""NumPy: blocks that stay in the cache, and counting by bincount."""

from functools import partial
from typing import Any

import numpy as np

from qcore.arithmetic import divide
from qcore.libraries import Library, register_library
from qcore.methods.entropy import group_information, merged_information, running_sums
from qcore.statistics.tally import (
    EXPONENTS,
    Tally,
    count,
    empty_tally,
    least_k,
    regrid,
    tally,
    to_float32,
)

NAME = "numpy"
BLOCK = 1 << 15
"""Values worked on at once: a few arrays of them fit the second-level cache."""

for name in (NAME, "array_api_strict"):  # the latter computes with NumPy
    register_library(name, Library(arithmetic=partial(np.errstate, all="ignore")))


@divide.accelerate(NAME)
def _(x: np.ndarray, scale: np.ndarray, /) -> Any:
    return np.divide(x, scale)


@count.accelerate(NAME)
def _(index: np.ndarray, weights: np.ndarray | None, length: int, /) -> Any:
    if weights is not None:
        return NotImplemented  # bincount would add weights in float64
    return np.bincount(index, minlength=length + 1)[:length]


@regrid.accelerate(NAME)
def _(
    counts: np.ndarray, exponents: np.ndarray, k: np.ndarray, new_k: np.ndarray, /
) -> Any:
    if np.array_equal(k, new_k):
        return counts, exponents
    return NotImplemented


@merged_information.accelerate(NAME)
def _(
    line: np.ndarray,
    first: np.ndarray,
    last: np.ndarray,
    cells: tuple[float, ...],
    /,
) -> Any:
    """Look up every group of the equal-width case in a table.

    The groups of a window of ``n * m + r`` slots are n or n + 1 slots wide, and the
    pattern of the wider ones depends on r alone. So there are few distinct groups, each
    needed by many windows, and no logarithm is taken twice.
    """
    groups = len(cells) - 1
    if cells != tuple(k / groups for k in range(groups + 1)) or groups > line.shape[1]:
        return NotImplemented
    pattern = -(-np.arange(groups)[:, None] * np.arange(groups + 1) // groups)
    wider = np.diff(pattern)
    order = np.arange(groups)
    shape = (len(line), first.shape[1])
    first, last = np.broadcast_to(first, shape), np.broadcast_to(last, shape)
    result = np.empty(shape)
    size = max(BLOCK // groups, 1)
    for channel in range(len(line)):
        start = first[channel]
        n, r = np.divmod(last[channel] - start, groups)
        table = _group_table(line[channel : channel + 1], int(n.max()) + 1)
        places = pattern[:, :-1] + wider * table.shape[1]
        for i in range(0, shape[1], size):
            part = slice(i, i + size)
            index = places[r[part]]
            index += n[part, None] * order
            index += (start[part] + n[part] * table.shape[1])[:, None]
            terms = np.take(table.reshape(-1), index, mode="clip")
            result[channel, part] = terms.sum(axis=-1)
    return result


def _group_table(line: np.ndarray, widest: int) -> np.ndarray:
    """Return what groups contribute, by width and first slot ``[widest + 1, L]``."""
    sums = running_sums(line, xp=np)
    slots = line.shape[1]
    table = np.zeros((widest + 1, slots + 1))
    for width in range(1, min(widest, slots) + 1):
        group, filled = (
            x[0, width:] - x[0, :-width] for x in (sums.count, sums.filled)
        )
        table[width, : slots + 1 - width] = group_information(group, filled, xp=np)
    return table


@tally.accelerate(NAME)
def _(
    rows: np.ndarray,
    keep: np.ndarray | None,
    weights: np.ndarray | None,
    slots: int,
    /,
) -> Any:
    """Count in two passes over blocks: the range, then the slots.

    2^24 float32 normal values, one thread: see benchmarks/histogram.py.
    """
    if weights is not None:
        return NotImplemented
    channels, columns = rows.shape
    result = empty_tally(channels, slots, rows, xp=np)
    if columns == 0:
        return result
    for channel in range(channels):
        chosen = rows[channel] if keep is None else rows[channel][keep[channel]]
        _tally_row(chosen, channel, result, slots)
    return result


def _tally_row(row: np.ndarray, channel: int, result: Tally, slots: int) -> None:
    blocks = [row[i : i + BLOCK] for i in range(0, len(row), BLOCK)]
    low, high, is_finite = _range(blocks)
    if not is_finite:
        blocks = [_without_nonfinite(b, channel, result) for b in blocks]
        low, high, _ = _range(blocks)
    amax = max(-low, high)
    if amax < 0:  # nothing finite at all
        return
    k = int(least_k(np.asarray([amax], np.float32), slots, xp=np)[0])
    folded, small = _count_slots(blocks, k, slots)
    positive, negative = small[:EXPONENTS], small[EXPONENTS:]
    positive[0] = negative[0] = 0  # subnormals, which count as zeros
    result.counts[channel, 1] = folded[slots:]
    result.counts[channel, 0, 1:] = folded[slots - 1 : 0 : -1]
    result.counts[channel, :, 0] = negative.sum(), positive.sum()
    result.exponents[channel] = negative, positive
    result.k[channel] = k
    result.zeros[channel] = folded[slots] - small.sum()
    result.min[channel], result.max[channel] = _flushed(low), _flushed(high)


def _count_slots(
    blocks: list[np.ndarray], k: int, slots: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return counts of finite values by signed slot, and of slot 0 by exponent field.

    Truncation puts slot 0 of both signs and the zeros into the one middle slot. Those
    that are not zero are few and looked at again.
    """
    width, inverse = np.float32(2.0**k), np.float32(2.0**-k)
    folded = np.zeros(2 * slots, np.int64)
    small = np.zeros(2 * EXPONENTS, np.int64)
    scaled, index = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.int64)
    for block in blocks:
        x = to_float32(block, xp=np)
        n = len(x)
        np.multiply(x, inverse, out=scaled[:n])
        np.copyto(index[:n], scaled[:n], casting="unsafe")
        index[:n] += slots
        folded += np.bincount(index[:n], minlength=2 * slots)
        in_slot_0 = (np.abs(x) < width) & (x != 0)
        pattern = x[in_slot_0].view(np.uint32) >> 23
        small += np.bincount(pattern, minlength=2 * EXPONENTS)
    return folded, small


def _range(blocks: list[np.ndarray]) -> tuple[np.float32, np.float32, bool]:
    """Return the ends of the range in float32, and whether all values are finite."""
    low, high = np.float32(np.inf), np.float32(-np.inf)
    for block in blocks:
        if len(block):
            ends = to_float32(np.stack([block.min(), block.max()]), xp=np)
            low, high = np.minimum(low, ends[0]), np.maximum(high, ends[1])
    return low, high, bool(np.isfinite(low) and np.isfinite(high))


def _without_nonfinite(block: np.ndarray, channel: int, result: Tally) -> np.ndarray:
    """Count what is not finite and return the rest."""
    x = to_float32(block, xp=np)
    result.nans[channel] += np.count_nonzero(np.isnan(x))
    result.infs[channel] += (
        np.count_nonzero(x == -np.inf),
        np.count_nonzero(x == np.inf),
    )
    finite: np.ndarray = x[np.isfinite(x)]
    return finite


def _flushed(x: np.float32) -> np.float32:
    """Return zero for what counts as zero."""
    return np.float32(0) if abs(x) < np.finfo(np.float32).tiny else x
