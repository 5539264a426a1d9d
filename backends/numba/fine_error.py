"""numba: the squared error of steps finer than slots."""

import numpy as np

from qcore.backends.numba.compile import compiled
from qcore.backends.numba.density import fill_tail, mass_and_square_beyond
from qcore.backends.numba.gain import best_below
from qcore.backends.numba.memory import readonly


def fine_errors(
    counts: np.ndarray,
    steps: np.ndarray,
    below: np.ndarray,
    above: np.ndarray,
    allowed: np.ndarray,
) -> np.ndarray:
    """Return the errors of steps with so many codes on each side, if allowed.

    All but the counts broadcast to ``[C, S]``.
    """
    errors = np.full(allowed.shape, np.inf)
    _fill_errors(
        readonly(counts, np.int64),
        *(readonly(x, np.float64) for x in (steps, below, above)),
        readonly(allowed, np.bool_),
        errors,
    )
    return errors


def find_below(counts: np.ndarray, steps: np.ndarray, codes: int) -> np.ndarray:
    """Return how many codes are best below zero, ``[C, S]``."""
    below = np.empty((len(counts), steps.shape[1]))
    _fill_below(readonly(counts, np.int64), readonly(steps, np.float64), codes, below)
    return below


@compiled
def fine_error(tail: np.ndarray, step: float, reach: float) -> float:
    """Return the error of one side."""
    beyond, saturated = mass_and_square_beyond(tail, reach)
    error: float = step * step * (1 / 12) * (tail[0, 1] - beyond) + saturated
    return error


@compiled
def _fill_errors(
    counts: np.ndarray,
    steps: np.ndarray,
    below: np.ndarray,
    above: np.ndarray,
    allowed: np.ndarray,
    errors: np.ndarray,
) -> None:
    """Write the errors where allowed."""
    channels, candidates = allowed.shape
    tails = np.empty((2, counts.shape[2] + 1, 4))
    for c in range(channels):
        for side in range(2):
            fill_tail(counts[c], side, side, tails[side])
        size = steps[min(c, len(steps) - 1)]
        left, right = below[min(c, len(below) - 1)], above[min(c, len(above) - 1)]
        for i in range(candidates):
            if allowed[c, i]:
                step = size[i]
                error = fine_error(tails[0], step, step * left[min(i, len(left) - 1)])
                other = fine_error(tails[1], step, step * right[min(i, len(right) - 1)])
                errors[c, i] = error + other


@compiled
def _fill_below(
    counts: np.ndarray, steps: np.ndarray, codes: int, below: np.ndarray
) -> None:
    """Write how many codes are best below zero."""
    channels, candidates = below.shape
    tails, used = np.empty((2, counts.shape[2] + 1, 4)), np.empty(2, np.int64)
    for c in range(channels):
        for side in range(2):
            used[side] = fill_tail(counts[c], side, side, tails[side])
        for i in range(candidates):
            step = steps[min(c, len(steps) - 1), i]
            below[c, i] = best_below(step, codes, tails, used)
