"""numba: the squared errors of ranges whose zero points are given."""

import numpy as np

from qcore.backends.numba.compile import compiled
from qcore.backends.numba.density import (
    fill_tail,
    mass_and_square_beyond,
    second_moment,
)
from qcore.backends.numba.fine_error import fine_error, fine_errors
from qcore.backends.numba.gain import affine_gain, best_below
from qcore.backends.numba.memory import readonly
from qcore.methods.ends import TIE
from qcore.methods.squared_error import MANY_CODES, NOISE

STRIDE = 16
"""Of the ranges, every so many are tried first."""


def search_ranges(
    counts: np.ndarray,
    steps: np.ndarray,
    below: np.ndarray,
    allowed: np.ndarray,
    codes: int,
    /,
) -> np.ndarray:
    """Return what the kernel of this name does, infinity for many of the ranges."""
    if codes > MANY_CODES:
        return fine_errors(counts, steps, below, codes - below, allowed)
    errors = np.full(allowed.shape, np.inf)
    _search_ranges(
        readonly(counts, np.int64),
        *(readonly(x, np.float64) for x in (steps, below)),
        readonly(allowed, np.bool_),
        codes,
        errors,
    )
    return errors


def best_split(
    counts: np.ndarray,
    step: np.ndarray,
    reach: np.ndarray,
    noise: np.ndarray,
    codes: int,
    /,
) -> np.ndarray:
    """Return what the kernel of this name does."""
    splits = np.zeros(len(counts))
    _choose_splits(
        readonly(counts, np.int64),
        *(readonly(x, np.float64) for x in (step, reach, noise)),
        codes,
        splits,
    )
    return splits


@compiled
def _search_ranges(
    counts: np.ndarray,
    steps: np.ndarray,
    below: np.ndarray,
    allowed: np.ndarray,
    codes: int,
    errors: np.ndarray,
) -> None:
    """Write the errors of the ranges whose saturation alone does not rule them out."""
    channels, candidates = allowed.shape
    tails, used = np.empty((2, counts.shape[2] + 1, 4)), np.empty(2, np.int64)
    for c in range(channels):
        for side in range(2):
            used[side] = fill_tail(counts[c], side, side, tails[side])
        moment = second_moment(counts[c])
        sizes, splits = steps[min(c, len(steps) - 1)], below[min(c, len(below) - 1)]
        least = np.inf
        for stride in (STRIDE, 1):
            for i in range(0, candidates, stride):
                if not allowed[c, i] or errors[c, i] < np.inf:
                    continue
                step, split = sizes[i], splits[i]
                lost = mass_and_square_beyond(tails[0], step * split)[1]
                lost += mass_and_square_beyond(tails[1], step * (codes - split))[1]
                if lost <= least * TIE + 3 * NOISE * moment:
                    gain = affine_gain(step, split, codes, tails, used)
                    errors[c, i] = max(moment - 2 * step * gain, 0.0)
                    least = min(least, errors[c, i])


@compiled
def _choose_splits(
    counts: np.ndarray,
    steps: np.ndarray,
    reaches: np.ndarray,
    noise: np.ndarray,
    codes: int,
    chosen: np.ndarray,
) -> None:
    """Write how many codes lie below zero."""
    tails, used = np.empty((2, counts.shape[2] + 1, 4)), np.empty(2, np.int64)
    splits, errors = np.empty(5), np.empty(5)
    for c in range(len(counts)):
        for side in range(2):
            used[side] = fill_tail(counts[c], side, side, tails[side])
        moment = second_moment(counts[c])
        step, below, above = steps[c, 0], reaches[c, 0], reaches[c, 1]
        found = best_below(step, codes, tails, used)
        centred = np.floor((codes + (below - above) / step) / 2)
        least = np.inf
        for i in range(5):
            split = found + (i - 1) if i < 3 else centred + (i - 3)
            split = splits[i] = min(max(split, 0.0), float(codes))
            if codes > MANY_CODES:
                errors[i] = fine_error(tails[0], step, step * split) + fine_error(
                    tails[1], step, step * (codes - split)
                )
            else:
                gain = affine_gain(step, split, codes, tails, used)
                errors[i] = max(moment - 2 * step * gain, 0.0)
            least = min(least, errors[i])
        limit, least_idle = least * TIE + noise[c, 0], np.inf
        for i in range(5):
            split = splits[i]
            idle = max(split * step - below, (codes - split) * step - above)
            if errors[i] <= limit and (
                idle < least_idle or (idle == least_idle and split > chosen[c])
            ):
                least_idle, chosen[c] = idle, split
