"""NumPy: counting by bincount, in blocks that stay in the cache."""

from typing import Any

import numpy as np

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


@tally.accelerate(NAME)
def _(
    rows: np.ndarray,
    keep: np.ndarray | None,
    weights: np.ndarray | None,
    slots: int,
    k: np.ndarray | None,
    /,
) -> Any:
    """Count in two passes over blocks: the range, then the slots.

    2^24 float32 normal values, one thread: see benchmarks/bench_histogram.py.
    """
    if weights is not None:
        return NotImplemented
    channels, columns = rows.shape
    result = empty_tally(channels, slots, rows, k, xp=np)
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
    k = max(_least_k(amax, slots), int(result.k[channel]))
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
