"""Where the runs of elements that share a scale begin and end."""

import numpy as np

from qcore.backends.numba.compile import compiled

PART = 1 << 11
"""Scales spread out at once, which stay in the first-level cache."""
LANES = 16
"""Of which so many are written together, though some be for the next run to mend."""
ROOM = PART + LANES


@compiled
def run_at(place: int, line: int, size: int) -> tuple[int, int, int, int]:
    """Return number, begin and end of the run at a place, and the end of its line."""
    before = place // line
    start = before * line
    block = (place - start) // size
    begin = start + block * size
    number = before * (-(-line // size)) + block
    return number, begin, min(begin + size, start + line), start + line


@compiled
def end_after(end: int, line_end: int, line: int, size: int) -> tuple[int, int]:
    """Return the end of the run behind a run, and that of its line."""
    if end == line_end:
        line_end += line
    return min(end + size, line_end), line_end


@compiled
def spread_runs(
    place: int,
    length: int,
    line: int,
    size: int,
    steps: np.ndarray,
    zeros: np.ndarray,
    step: np.ndarray,
    zero: np.ndarray,
) -> None:
    """Write the scales of so many elements from a place on, side by side."""
    number, _, end, line_end = run_at(place, line, size)
    entry = number % len(steps)
    i = 0
    while i < length:
        last = min(end - place, length)
        own_step, own_zero = steps[entry], zeros[entry]
        for lanes in range(i, last, LANES):
            for j in range(lanes, lanes + LANES):
                step[j] = own_step
                zero[j] = own_zero
        i = last
        end, line_end = end_after(end, line_end, line, size)
        entry = entry + 1 if entry + 1 < len(steps) else 0
