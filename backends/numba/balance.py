"""numba: which windows lose no more to saturation than to rounding."""

import numpy as np

from qcore.backends.numba.compile import compiled
from qcore.backends.numba.density import (
    fill_tail,
    mass_and_square_beyond,
    second_moment,
)
from qcore.backends.numba.gain import joined_cells, symmetric_gain
from qcore.backends.numba.memory import readonly
from qcore.formats import FloatFormat, IntFormat
from qcore.spec import QuantSpec


def is_balanced(
    counts: np.ndarray, below: np.ndarray, above: np.ndarray, spec: QuantSpec, /
) -> np.ndarray:
    """Return what the kernel of this name does."""
    fmt = spec.format
    if spec.symmetric:
        steps = above * (1 / fmt.max)
    else:
        assert isinstance(fmt, IntFormat)  # QuantSpec refuses asymmetric floats
        steps = (below + above) * (1 / (fmt.qmax - fmt.qmin))
    balanced = np.empty((len(counts), steps.shape[1]), np.bool_)
    cells = joined_cells(fmt) if isinstance(fmt, FloatFormat) else (np.empty(0),) * 2
    _compare(
        readonly(counts, np.int64),
        *(readonly(x, np.float64) for x in (steps, below, above, *cells[:2])),
        balanced,
    )
    return balanced


@compiled
def _compare(
    counts: np.ndarray,
    steps: np.ndarray,
    below: np.ndarray,
    above: np.ndarray,
    edges: np.ndarray,
    spans: np.ndarray,
    balanced: np.ndarray,
) -> None:
    """Write whether windows are balanced, by cells if there are any."""
    channels, windows = balanced.shape
    slots = counts.shape[2]
    tails, used = np.empty((2, slots + 1, 4)), np.empty(1, np.int64)
    both, ends = np.empty((1, slots + 1, 4)), np.array([0, len(edges)])
    lost, rounded = np.empty(windows), np.empty(windows)
    for c in range(channels):
        for side in range(2):
            fill_tail(counts[c], side, side, tails[side])
        if len(edges) > 0:
            used[0] = fill_tail(counts[c], 0, 1, both[0])
            moment = second_moment(counts[c])
        for i in range(windows):
            step = steps[min(c, len(steps) - 1), i]
            mass, lost[i] = mass_and_square_beyond(
                tails[0], below[min(c, len(below) - 1), i]
            )
            other_mass, other_lost = mass_and_square_beyond(
                tails[1], above[min(c, len(above) - 1), i]
            )
            lost[i] += other_lost
            if len(edges) > 0:
                gain = symmetric_gain(step, both, used, edges, spans, ends)
                rounded[i] = max(moment - 2 * step * gain, 0.0) - lost[i]
            else:
                square = step * step * (1 / 12)
                inside = square * (tails[0, 0, 1] - mass)
                rounded[i] = inside + square * (tails[1, 0, 1] - other_mass)
        for i in range(windows):
            balanced[c, i] = lost[i] - lost[windows - 1] <= rounded[i]
