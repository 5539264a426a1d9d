"""A row's table of counts: slots on both sides of zero, then exponents in lanes.

Slot j of the positive values is in place ``slots + j``, of the negative ones in place
``slots - j``; what would be in slot 0 counts by its exponent.
"""

import numpy as np

from qcore.backends.numba.compile import compiled
from qcore.backends.numba.patterns import float_of
from qcore.statistics.tally import EXPONENTS

LANES = 8
"""Tables of exponents, taken in turn: else ReLU's zeros wait for each other."""
MAGNITUDE = np.int32(0x7FFFFFFF)
NORMAL = np.int32(0x00800000)
SIGNS = np.int32(2 * EXPONENTS)

LOW, HIGH, NANS, LOW_INFS, HIGH_INFS, WIDTH = range(6)
"""Places in the summary of a row: keys of the range, counts, and k."""


@compiled
def key_of(pattern: int) -> int:
    """Return a pattern so turned that it sorts as its number; twice turns it back."""
    return pattern ^ ((pattern >> np.int32(31)) & MAGNITUDE)


@compiled
def find_places(
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
def lanes_of(slots: int, size: int) -> np.ndarray:
    """Return where the exponents begin that each element of a part may count in."""
    lanes = np.empty(size, np.int32)
    for i in range(size):
        lanes[i] = 2 * slots + i % LANES * SIGNS
    return lanes


@compiled
def widen(table: np.ndarray, slots: int, k: int, wider: int) -> None:
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
def store(
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
    pattern = key_of(key)  # which turns it back
    small = (pattern & MAGNITUDE) < NORMAL
    return np.float32(0) if small else float_of(pattern)
