"""Range and histogram in one pass over the data.

A part of the data that stays in the cache is looked through for its range first. When
that outgrows the grid the counts so far fold onto a wider one, which happens a few
times in a tensor; then each element's place is found by vector instructions, and the
places are counted.
"""

from typing import Any

import numpy as np

from qcore.backends.numba.compile import compiled
from qcore.backends.numba.memory import readonly
from qcore.backends.numba.patterns import part_of, pattern_dtype, patterns
from qcore.backends.numba.slots import (
    HIGH,
    HIGH_INFS,
    LANES,
    LOW,
    LOW_INFS,
    MAGNITUDE,
    NANS,
    SIGNS,
    WIDTH,
    find_places,
    key_of,
    lanes_of,
    store,
    widen,
)
from qcore.backends.numba.threads import run, split, thread_count
from qcore.kernels import declined
from qcore.statistics.tally import K_MAX, Tally, empty_tally

PART = 1 << 11
"""Elements of a part: their patterns and places fit the first-level cache."""
MOST = 1 << 31
"""Elements that 32-bit counters hold."""

INFINITY = np.int32(0x7F800000)


def tally(
    rows: np.ndarray,
    keep: np.ndarray | None,
    weights: np.ndarray | None,
    slots: int,
    k: np.ndarray | None,
    /,
) -> Any:
    """Count rows in threads: rows each where there are many, else parts of a row."""
    if weights is not None:
        return declined("weights are counted by the portable function")
    if pattern_dtype(rows.dtype) is None:
        return declined("the data is of a dtype that compiled code does not know")
    if k is not None and k.shape != rows.shape[:1]:
        return declined("k is not one number for each row")
    result = empty_tally(len(rows), slots, rows, k, xp=np)
    if rows.size == 0:
        return result
    data = patterns(rows)
    mask = np.ones((1, 0), np.bool_) if keep is None else readonly(keep, np.bool_)
    threads = thread_count(rows.size)
    if len(rows) >= threads and rows.shape[1] < MOST:
        jobs = split(len(rows), threads)
        run(_rows, [(data, mask, slots, result, a, b) for a, b in jobs])
        return result
    parts = max(threads, -(-rows.shape[1] // (MOST - 1)))
    for row in range(len(rows)):
        pieces = [
            (data[row, a:b], mask[min(row, len(mask) - 1), a:b], slots, result.k[row])
            for a, b in split(rows.shape[1], parts)
        ]
        _joined(run(_piece, pieces), slots, result, row)
    return result


def _rows(
    data: np.ndarray,
    mask: np.ndarray,
    slots: int,
    result: Tally,
    start: int,
    stop: int,
) -> None:
    """Count some rows, each into its own entries of the result."""
    table = np.empty(2 * slots + LANES * SIGNS, np.uint32)
    summary = np.empty(6, np.int64)
    _count_rows(data, mask, slots, table, summary, *result, start, stop)


def _piece(
    data: np.ndarray, mask: np.ndarray, slots: int, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return table and summary of a piece of a row."""
    table = np.zeros(2 * slots + LANES * SIGNS, np.uint32)
    summary = np.empty(6, np.int64)
    _count(data, mask, slots, k, table, summary)
    return table, summary


def _joined(
    pieces: list[tuple[np.ndarray, np.ndarray]], slots: int, result: Tally, row: int
) -> None:
    """Add up the pieces of a row on the widest of their grids."""
    k = max(int(summary[WIDTH]) for _, summary in pieces)
    total = np.zeros(len(pieces[0][0]), np.int64)
    joined = np.zeros(6, np.int64)
    for table, summary in pieces:
        widen(table, slots, int(summary[WIDTH]), k)
        total += table
        joined[NANS : HIGH_INFS + 1] += summary[NANS : HIGH_INFS + 1]
    joined[LOW] = min(summary[LOW] for _, summary in pieces)
    joined[HIGH] = max(summary[HIGH] for _, summary in pieces)
    joined[WIDTH] = k
    store(total, joined, slots, *result, row)


@compiled
def _count_rows(
    data: np.ndarray,
    mask: np.ndarray,
    slots: int,
    table: np.ndarray,
    summary: np.ndarray,
    counts: np.ndarray,
    exponents: np.ndarray,
    k: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    zeros: np.ndarray,
    nans: np.ndarray,
    infs: np.ndarray,
    start: int,
    stop: int,
) -> None:
    for row in range(start, stop):
        table[:] = 0
        kept = mask[min(row, len(mask) - 1)]
        _count(data[row], kept, slots, k[row], table, summary)
        store(
            table,
            summary,
            slots,
            counts,
            exponents,
            k,
            low,
            high,
            zeros,
            nans,
            infs,
            row,
        )


@compiled
def _count(
    data: np.ndarray,
    mask: np.ndarray,
    slots: int,
    k: int,
    table: np.ndarray,
    summary: np.ndarray,
) -> None:
    """Count one row into a table: slots around zero, exponents by lane and sign."""
    doublings = np.int64(np.log2(slots))
    buffer = np.empty(PART, np.int32)
    place, lanes = np.empty(PART, np.int32), lanes_of(slots, PART)
    lowest, highest = MAGNITUDE, np.int32(~MAGNITUDE)
    summary[:] = 0
    counted = 0
    for start in range(0, len(data), PART):
        size = min(PART, len(data) - start)
        part = part_of(data, start, size, buffer)
        if len(mask):
            part, size = buffer, _kept(part, mask[start : start + size], buffer)
        least, largest = _range(part, size)
        magnitude = max(largest, ~least)
        if magnitude >= INFINITY:
            part, size = buffer, _finite(part, size, buffer, summary)
            least, largest = _range(part, size)
            magnitude = max(largest, ~least)
        if size == 0:
            continue
        lowest, highest = min(lowest, least), max(highest, largest)
        # The float32 exponent field of slots * 2**k, which no magnitude may reach.
        if (magnitude >> 23) >= k + doublings + 127:
            wider = min((magnitude >> 23) - 126 - doublings, K_MAX)
            if wider > k:
                if counted:
                    widen(table, slots, k, wider)
                k = wider
        find_places(part, size, np.float32(2.0**-k), np.int32(slots), lanes, place)
        for i in range(size):
            table[place[i]] += np.uint32(1)
        counted += size
    summary[LOW], summary[HIGH], summary[WIDTH] = lowest, highest, k


@compiled
def _range(part: np.ndarray, size: int) -> tuple[int, int]:
    """Return least and largest key: patterns turned so that they sort as integers.

    Patterns sort as the numbers do where the sign is positive, and against them where
    it is negative. So three extremes of the patterns as they are tell the two of keys,
    in less time than turning each.
    """
    least, largest = MAGNITUDE, np.int32(~MAGNITUDE)
    largest_unsigned = np.uint32(0)
    for i in range(size):
        least, largest = min(least, part[i]), max(largest, part[i])
        largest_unsigned = max(largest_unsigned, np.uint32(part[i]))
    if size == 0:
        return least, largest
    low = np.int32(largest_unsigned) if least < 0 else least
    high = largest if largest >= 0 else least
    return key_of(low), key_of(high)


@compiled
def _kept(part: np.ndarray, mask: np.ndarray, buffer: np.ndarray) -> int:
    """Move what the mask keeps into the buffer; return how many."""
    kept = 0
    for i in range(len(mask)):
        buffer[kept] = part[i]
        kept += mask[i]
    return kept


@compiled
def _finite(
    part: np.ndarray, size: int, buffer: np.ndarray, summary: np.ndarray
) -> int:
    """Count what is not finite, move the rest into the buffer; return how many."""
    kept = 0
    for i in range(size):
        magnitude = part[i] & MAGNITUDE
        if magnitude < INFINITY:
            buffer[kept] = part[i]
            kept += 1
        elif magnitude > INFINITY:
            summary[NANS] += 1
        else:
            summary[LOW_INFS if part[i] < 0 else HIGH_INFS] += 1
    return kept
