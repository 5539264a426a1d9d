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
from qcore.backends.numba.patterns import (
    float_of,
    part_of,
    pattern_dtype,
    patterns,
)
from qcore.backends.numba.threads import run, split, thread_count
from qcore.kernels import declined
from qcore.statistics.tally import EXPONENTS, K_MAX, Tally, empty_tally

PART = 1 << 11
"""Elements of a part: their patterns and places fit the first-level cache."""
LANES = 8
"""Tables of exponents, taken in turn: else ReLU's zeros wait for each other."""
MOST = 1 << 31
"""Elements that 32-bit counters hold."""

MAGNITUDE = np.int32(0x7FFFFFFF)
INFINITY = np.int32(0x7F800000)
NORMAL = np.int32(0x00800000)
SIGNS = np.int32(2 * EXPONENTS)

LOW, HIGH, NANS, LOW_INFS, HIGH_INFS, WIDTH = range(6)
"""Places in the summary of a row: keys of the range, counts, and k."""


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
        _widen(table, slots, int(summary[WIDTH]), k)
        total += table
        joined[NANS : HIGH_INFS + 1] += summary[NANS : HIGH_INFS + 1]
    joined[LOW] = min(summary[LOW] for _, summary in pieces)
    joined[HIGH] = max(summary[HIGH] for _, summary in pieces)
    joined[WIDTH] = k
    _store(total, joined, slots, *result, row)


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
        _store(
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
    place, lanes = np.empty(PART, np.int32), _lanes(slots)
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
                    _widen(table, slots, k, wider)
                k = wider
        _places(part, size, np.float32(2.0**-k), np.int32(slots), lanes, place)
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
    return _key(low), _key(high)


@compiled
def _key(pattern: int) -> int:
    return pattern ^ ((pattern >> np.int32(31)) & MAGNITUDE)


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


@compiled
def _places(
    part: np.ndarray,
    size: int,
    inverse: float,
    slots: int,
    lanes: np.ndarray,
    place: np.ndarray,
) -> None:
    """Find where each element counts: its slot, or in slot 0 its exponent."""
    for i in range(size):
        slot = np.int32(float_of(part[i]) * inverse)
        signed_exponent = np.int32(np.uint32(part[i]) >> np.uint32(23))
        place[i] = slots + slot if slot != 0 else lanes[i] + signed_exponent


@compiled
def _lanes(slots: int) -> np.ndarray:
    """Return where the exponents begin that each element of a part may count in."""
    lanes = np.empty(PART, np.int32)
    for i in range(PART):
        lanes[i] = 2 * slots + i % LANES * SIGNS
    return lanes


@compiled
def _widen(table: np.ndarray, slots: int, k: int, wider: int) -> None:
    """Fold the slots onto a wider grid; what reaches slot 0 has exponents."""
    shift = min(wider - k, 31)
    if shift <= 0:
        return
    for sign in (1, -1):
        fields = 2 * slots + (sign < 0) * EXPONENTS + k + 127
        octave = 0
        for slot in range(1, slots):
            octave += (slot >> (octave + 1)) > 0
            place = slots + sign * slot
            count = table[place]
            table[place] = 0
            if count:
                target = slot >> shift
                into = slots + sign * target if target else fields + octave
                table[into] += count


@compiled
def _store(
    table: np.ndarray,
    summary: np.ndarray,
    slots: int,
    counts: np.ndarray,
    exponents: np.ndarray,
    k: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    zeros: np.ndarray,
    nans: np.ndarray,
    infs: np.ndarray,
    row: int,
) -> None:
    """Write a row's counts in the form of `Tally`, whose signs are the other way."""
    for sign in range(2):
        small = 0
        for field in range(EXPONENTS):
            count = 0
            for lane in range(LANES):
                count += table[2 * slots + lane * SIGNS + sign * EXPONENTS + field]
            if field:
                exponents[row, 1 - sign, field] = count
                small += count
            else:
                zeros[row] += count
        counts[row, 1 - sign, 0] = small
        for slot in range(1, slots):
            counts[row, 1 - sign, slot] = table[slots + (1 - 2 * sign) * slot]
    k[row] = summary[WIDTH]
    nans[row] = summary[NANS]
    infs[row, 0], infs[row, 1] = summary[LOW_INFS], summary[HIGH_INFS]
    if summary[LOW] <= summary[HIGH]:
        low[row] = _flushed(np.int32(summary[LOW]))
        high[row] = _flushed(np.int32(summary[HIGH]))


@compiled
def _flushed(key: int) -> float:
    """Return the number of a key, and zero for what counts as zero."""
    pattern = _key(key)  # which turns it back
    small = (pattern & MAGNITUDE) < NORMAL
    return np.float32(0) if small else float_of(pattern)
