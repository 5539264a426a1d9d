"""Where the runs of elements that share a scale begin and end."""

import numpy as np

from qcore.backends.numba.compile import compiled

PART = 1 << 11
"""Scales spread out at once, which stay in the first-level cache."""


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
    line: int,
    size: int,
    steps: np.ndarray,
    zeros: np.ndarray,
    step: np.ndarray,
    zero: np.ndarray,
) -> None:
    """Write the scales of the elements from a place on, side by side."""
    number, _, end, line_end = run_at(place, line, size)
    entry = number % len(steps)
    i = 0
    while i < len(step):
        last = min(end - place, len(step))
        for j in range(i, last):
            step[j] = steps[entry]
            zero[j] = zeros[entry]
        i = last
        end, line_end = end_after(end, line_end, line, size)
        entry = entry + 1 if entry + 1 < len(steps) else 0
