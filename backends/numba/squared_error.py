"""numba: searches for the least squared error that look at few steps.

In the words of `qcore.methods.squared_error`, error(s) = M2 - s G(s) where G is a sum
of J(s b) over edges b, with a zero point the largest of such sums. J is convex, so G
is: between two steps it lies below its chord there, which bounds the error from below.
Only intervals whose bound is no more than the least error found are halved, so nothing
that the tie rule may choose is left out.
"""

import numpy as np

from qcore.backends.numba.compile import compiled, readonly
from qcore.backends.numba.density import (
    fill_tail,
    mass_and_square_beyond,
    second_moment,
)
from qcore.backends.numba.gain import affine_gain, best_below, symmetric_gain
from qcore.formats import Format
from qcore.methods.ends import TIE
from qcore.methods.squared_error import MANY_CODES, NOISE, is_fine, magnitudes

STRIDE = 64
"""Of the candidates of ascending steps, every so many are tried first."""
SLACK = 3 * NOISE
"""Of the second moment: errors that differ by no more may be equally good."""


def search_symmetric(
    counts: np.ndarray, steps: np.ndarray, allowed: np.ndarray, fmt: Format, /
) -> np.ndarray:
    """Return what the kernel of this name does, infinity for most of the steps."""
    if is_fine(fmt):
        below, above = (np.asarray([[side[-1]]]) for side in magnitudes(fmt))
        return _fine(counts, steps, below, above, allowed)
    below, above = (np.asarray(side) for side in magnitudes(fmt))
    shared = min(len(below), len(above))
    sides = below[:shared], below[shared - 1 :], above[shared - 1 :]
    edges = np.concatenate([(side[1:] + side[:-1]) / 2 for side in sides])
    spans = np.concatenate([np.diff(side) for side in sides])
    ends = np.cumsum([0, *(len(side) - 1 for side in sides)])
    return _halved(counts, steps, allowed, edges, spans, ends, 0)


def search_affine(
    counts: np.ndarray, steps: np.ndarray, allowed: np.ndarray, codes: int, /
) -> np.ndarray:
    """Return what the kernel of this name does, infinity for most of the steps."""
    if codes > MANY_CODES:
        below = np.empty((len(counts), steps.shape[1]))
        _find_below(
            readonly(counts, np.int64), readonly(steps, np.float64), codes, below
        )
        return _fine(counts, steps, below, codes - below, allowed)
    none, ends = np.empty(0), np.empty(0, np.int64)
    return _halved(counts, steps, allowed, none, none, ends, codes)


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
        return _fine(counts, steps, below, codes - below, allowed)
    errors = np.full(allowed.shape, np.inf)
    _search_ranges(
        readonly(counts, np.int64),
        *(readonly(x, np.float64) for x in (steps, below)),
        readonly(allowed, np.bool_),
        codes,
        errors,
    )
    return errors


def _fine(
    counts: np.ndarray,
    steps: np.ndarray,
    below: np.ndarray,
    above: np.ndarray,
    allowed: np.ndarray,
) -> np.ndarray:
    """Return the errors of steps finer than slots, with so many on each side."""
    errors = np.full(allowed.shape, np.inf)
    _search_fine(
        readonly(counts, np.int64),
        *(readonly(x, np.float64) for x in (steps, below, above)),
        readonly(allowed, np.bool_),
        errors,
    )
    return errors


def _halved(
    counts: np.ndarray,
    steps: np.ndarray,
    allowed: np.ndarray,
    edges: np.ndarray,
    spans: np.ndarray,
    ends: np.ndarray,
    codes: int,
) -> np.ndarray:
    """Return the errors of some of the steps, whatever their order."""
    is_ascending = bool(np.all(steps[:, 1:] >= steps[:, :-1]))
    if not is_ascending:
        order = np.argsort(np.broadcast_to(steps, allowed.shape), axis=1, kind="stable")
        steps = np.take_along_axis(np.broadcast_to(steps, allowed.shape), order, axis=1)
        allowed = np.take_along_axis(allowed, order, axis=1)
    errors = np.full(allowed.shape, np.inf)
    _search_steps(
        readonly(counts, np.int64),
        readonly(steps, np.float64),
        readonly(allowed, np.bool_),
        *(readonly(x, np.float64) for x in (edges, spans)),
        readonly(ends, np.int64),
        codes,
        errors,
    )
    if is_ascending:
        return errors
    result = np.empty_like(errors)
    np.put_along_axis(result, order, errors, axis=1)
    return result


@compiled
def _search_steps(
    counts: np.ndarray,
    steps: np.ndarray,
    allowed: np.ndarray,
    edges: np.ndarray,
    spans: np.ndarray,
    ends: np.ndarray,
    codes: int,
    errors: np.ndarray,
) -> None:
    """Write the errors of the steps that count, at zero point 0 if `codes` is 0."""
    channels, candidates = allowed.shape
    slots = counts.shape[2]
    tails, used = np.empty((3, slots + 1, 4)), np.empty(3, np.int64)
    places, (known, merged) = (
        np.empty(candidates, np.int64),
        np.empty((2, candidates), np.int64),
    )
    sizes, gains = np.empty((2, candidates))
    for c in range(channels):
        moment = second_moment(counts[c, 0]) + second_moment(counts[c, 1])
        if codes > 0:
            for side in range(2):
                used[side] = fill_tail(counts[c, side], tails[side])
        else:
            used[0] = fill_tail(counts[c, 0] + counts[c, 1], tails[0])
            for side in range(2):
                if ends[side + 1] < ends[side + 2]:
                    used[side + 1] = fill_tail(counts[c, side], tails[side + 1])
        number = 0
        for i in range(candidates):
            if allowed[c, i]:
                places[number] = i
                sizes[number] = steps[min(c, len(steps) - 1), i]
                gains[number] = np.nan
                number += 1
        count = 0
        for i in range(0, number, STRIDE):
            known[count] = i
            count += 1
        if number > 0 and known[count - 1] < number - 1:
            known[count] = number - 1
            count += 1
        least, found = np.inf, 0
        while count > found:
            for i in known[:count]:
                if not np.isnan(gains[i]):
                    continue
                step = sizes[i]
                if codes > 0:
                    below = best_below(step, codes, tails, used)
                    gains[i] = affine_gain(step, below, codes, tails, used)
                else:
                    gains[i] = symmetric_gain(step, tails, used, edges, spans, ends)
                error = max(moment - 2 * step * gains[i], 0.0)
                errors[c, places[i]] = error
                least = min(least, error)
            found = count
            limit = least * TIE + SLACK * moment
            count = _with_midpoints(sizes, gains, moment, limit, known[:count], merged)
            known, merged = merged, known


@compiled
def _with_midpoints(
    sizes: np.ndarray,
    gains: np.ndarray,
    moment: float,
    limit: float,
    known: np.ndarray,
    merged: np.ndarray,
) -> int:
    """Write the known places and, between them, the middles of what may be best."""
    merged[0] = known[0]
    count = 1
    for low, high in zip(known[:-1], known[1:]):
        if high - low > 1:
            slope = (gains[high] - gains[low]) / (sizes[high] - sizes[low])
            first, last = sizes[low + 1], sizes[high - 1]
            # The bound is a parabola in the step, with its vertex here.
            step = min(max((sizes[low] - gains[low] / slope) / 2, first), last)
            bound = moment - 2 * step * (gains[low] + slope * (step - sizes[low]))
            if not bound > limit:
                merged[count] = (low + high) // 2
                count += 1
        merged[count] = high
        count += 1
    return count


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
            used[side] = fill_tail(counts[c, side], tails[side])
        moment = second_moment(counts[c, 0]) + second_moment(counts[c, 1])
        least = np.inf
        for stride in (16, 1):
            for i in range(0, candidates, stride):
                if not allowed[c, i] or errors[c, i] < np.inf:
                    continue
                step = steps[min(c, len(steps) - 1), i]
                split = below[min(c, len(below) - 1), i]
                lost = 0.0
                for side, reach in enumerate((step * split, step * (codes - split))):
                    lost += mass_and_square_beyond(tails[side], reach)[1]
                if lost <= least * TIE + SLACK * moment:
                    gain = affine_gain(step, split, codes, tails, used)
                    errors[c, i] = max(moment - 2 * step * gain, 0.0)
                    least = min(least, errors[c, i])


@compiled
def _find_below(
    counts: np.ndarray, steps: np.ndarray, codes: int, below: np.ndarray
) -> None:
    """Write how many codes are best under zero."""
    channels, candidates = below.shape
    tails, used = np.empty((2, counts.shape[2] + 1, 4)), np.empty(2, np.int64)
    for c in range(channels):
        for side in range(2):
            used[side] = fill_tail(counts[c, side], tails[side])
        for i in range(candidates):
            step = steps[min(c, len(steps) - 1), i]
            below[c, i] = best_below(step, codes, tails, used)


@compiled
def _search_fine(
    counts: np.ndarray,
    steps: np.ndarray,
    below: np.ndarray,
    above: np.ndarray,
    allowed: np.ndarray,
    errors: np.ndarray,
) -> None:
    """Write the errors of steps finer than slots."""
    channels, candidates = allowed.shape
    tail = np.empty((counts.shape[2] + 1, 4))
    for c in range(channels):
        for side, numbers in enumerate((below, above)):
            fill_tail(counts[c, side], tail)
            row = numbers[min(c, len(numbers) - 1)]
            for i in range(candidates):
                if allowed[c, i]:
                    step = steps[min(c, len(steps) - 1), i]
                    reach = step * row[min(i, len(row) - 1)]
                    beyond, saturated = mass_and_square_beyond(tail, reach)
                    inside = tail[0, 1] - beyond
                    error = step * step * (1 / 12) * inside + saturated
                    errors[c, i] = error if side == 0 else errors[c, i] + error
