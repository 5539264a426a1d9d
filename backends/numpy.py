"""NumPy: blocks that stay in the cache, and counting by bincount."""

from functools import partial
from typing import Any

import numpy as np

from qcore.arithmetic import divide
from qcore.libraries import Library, register_library
from qcore.methods.density import Tail
from qcore.methods.entropy import group_information, merged_information, running_sums
from qcore.methods.squared_error import (
    MANY_CODES,
    affine_error,
    cells_between,
    gains,
    sides_of,
)
from qcore.statistics.tally import (
    EXPONENTS,
    K_MAX,
    K_MIN,
    Tally,
    count,
    empty_tally,
    regrid,
    tally,
    to_float32,
)

NAME = "numpy"
BLOCK = 1 << 16
"""Values worked on at once: a few arrays of them stay in the cache."""

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
    for channel in range(len(line)):
        start = first[channel]
        widths, rests = np.divmod(last[channel] - start, groups)
        reach = int(start.max()) + groups
        table = _group_table(line[channel : channel + 1], int(widths.max()) + 1, reach)
        places = pattern[:, :-1] + wider * table.shape[1]
        for width in np.unique(widths):
            (part,) = np.nonzero(widths == width)
            index = places[rests[part]]
            index += width * order
            if start.any():
                index += start[part, None]
            two_rows = table[width : width + 2].reshape(-1)
            result[channel, part] = two_rows.take(index, mode="clip").sum(axis=-1)
    return result


@affine_error.accelerate(NAME)
def _(counts: np.ndarray, steps: np.ndarray, codes: int, /) -> Any:
    """Leave out the steps and the codes that reach beyond all values.

    Most activations have one sign: three quarters of the terms are then zero.
    """
    if codes > MANY_CODES:
        return NotImplemented
    steps = np.broadcast_to(steps, (len(counts), steps.shape[1]))
    errors = np.full(steps.shape, np.inf)
    levels = [float(q) for q in range(codes + 1)]
    edges, spans = cells_between(levels, None, xp=np)
    size = max(BLOCK // codes // 2, 1)
    for channel in range(len(counts)):
        sides = sides_of(counts[channel : channel + 1], xp=np)
        used = sides.used[0]
        (useful,) = np.nonzero(steps[channel] * codes - 1 < used.sum())
        for i in range(0, len(useful), size):
            part = useful[i : i + size]
            step = steps[channel, part]
            left, right = (
                _summed_gains(tail, step, edges, spans, reach)
                for tail, reach in zip(sides[:2], used, strict=True)
            )
            gain = 2 * step[:, None] * (left + right[:, ::-1])
            errors[channel, part] = (sides.moment - gain).min(axis=-1)
    return np.maximum(errors, 0)


def _summed_gains(
    tail: Tail, step: np.ndarray, edges: np.ndarray, spans: np.ndarray, reach: float
) -> np.ndarray:
    """Return the sums up to each code ``[S, codes + 1]``, constant beyond the reach."""
    needed = min(int(reach / step.min() + 0.5) + 1, len(edges))
    sums = np.zeros((len(step), len(edges) + 1))
    terms = gains(tail, step[None], edges[:needed], spans[:needed], xp=np)[0]
    np.cumsum(terms, axis=-1, out=sums[:, 1 : needed + 1])
    sums[:, needed + 1 :] = sums[:, needed : needed + 1]
    return sums


def _group_table(line: np.ndarray, widest: int, reach: int) -> np.ndarray:
    """Return what groups contribute, by width and first slot ``[widest + 1, L]``.

    A group of width w starts within ``(w + 1) * reach`` slots, where `reach` is the
    largest first slot of a window plus the number of groups.
    """
    sums = running_sums(line, xp=np)
    slots = line.shape[1]
    table = np.zeros((widest + 1, slots + 1))
    for width in range(1, min(widest, slots) + 1):
        starts = min(slots + 1 - width, reach * (width + 1))
        group, filled = (
            x[0, width : width + starts] - x[0, :starts]
            for x in (sums.count, sums.filled)
        )
        table[width, :starts] = group_information(group, filled, xp=np)
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

    2^24 float32 normal values, one thread: see benchmarks/bench_histogram.py.
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
    k = _least_k(amax, slots)
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
    inverse = np.float32(2.0**-k)
    folded = np.zeros(2 * slots, np.int64)
    small = np.zeros(2 * EXPONENTS, np.int64)
    scaled, slot = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.int32)
    index = np.empty(BLOCK, np.int64)
    below, nonzero = np.empty((2, BLOCK), np.bool_)
    for block in blocks:
        x = to_float32(block, xp=np)
        part = slice(len(x))
        np.multiply(x, inverse, out=scaled[part])
        # To 64 bits through 32: NumPy has vector instructions for both steps alone.
        np.copyto(slot[part], scaled[part], casting="unsafe")
        np.equal(slot[part], 0, out=below[part])
        np.not_equal(x, 0, out=nonzero[part])
        below[part] &= nonzero[part]
        pattern = x[below[part]].view(np.uint32) >> 23
        small += np.bincount(pattern, minlength=2 * EXPONENTS)
        slot[part] += slots
        np.copyto(index[part], slot[part])
        folded += np.bincount(index[part], minlength=2 * slots)
    return folded, small


def _least_k(amax: np.float32, slots: int) -> int:
    """Return `least_k` of one number: frexp has the least e with amax < 2**e."""
    exponent = int(np.frexp(amax)[1]) if amax else K_MIN
    return min(max(exponent - (slots.bit_length() - 1), K_MIN), K_MAX)


def _range(blocks: list[np.ndarray]) -> tuple[np.float32, np.float32, bool]:
    """Return the ends of the range in float32, and whether all values are finite."""
    ends = [(block.min(), block.max()) for block in blocks if len(block)]
    if not ends:
        return np.float32(np.inf), np.float32(-np.inf), False
    lows, highs = to_float32(np.asarray(ends), xp=np).T
    low, high = lows.min(), highs.max()
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
