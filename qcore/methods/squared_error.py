"""The squared error of quantizing a density, for many steps at once.

Let the magnitudes a side's codes stand for be v_0 = 0 < v_1 < … < v_n times the step s,
M2 the second moment of the side's density and J(b) the integral of (x - b) beyond b.
Summing by parts over the rounding cells, whose edges are the midpoints, gives

    error(s) = M2 - 2 s * sum over q of (v_q - v_{q-1}) J(s (v_q + v_{q-1}) / 2)

J is a table lookup, so a step costs one term a code. The partial sums over q are the
errors with fewer codes: an asymmetric search has all zero points of a step for the
price of one. Formats of many codes, whose steps are finer than slots, have s**2 / 12
inside the range and the error of the saturated tails beside it.
"""

from itertools import pairwise
from typing import NamedTuple

from array_api_compat import device as device_of

from qcore.formats import FloatFormat, Format
from qcore.kernels import Kernel
from qcore.methods.candidates import score_candidates
from qcore.methods.density import (
    Tail,
    excess_beyond,
    mass_and_square_beyond,
    second_moment,
    tail_of,
)
from qcore.typing import Array, Namespace

MANY_CODES = 1 << 9
"""More codes than this on one side count as a fine grid."""

_SPLITS = 256
"""Zero points tried on a fine grid, evenly spaced, besides those that fit an end."""


def magnitudes(fmt: Format, /) -> tuple[list[float], list[float]]:
    """Return the magnitudes of the negative and of the other codes at zero point 0."""
    if isinstance(fmt, FloatFormat):
        return list(fmt.magnitudes), list(fmt.magnitudes)
    return (
        [float(q) for q in range(1 - fmt.qmin)],
        [float(q) for q in range(1 + fmt.qmax)],
    )


@Kernel
def symmetric_error(
    counts: Array, steps: Array, fmt: Format, /, *, xp: Namespace
) -> Array:
    """
    Return the squared error at zero point 0, summed over the density.

    Parameters
    ----------
    counts : array
        int64 ``[C, 2, slots]``, negative values first.
    steps : array
        float64 ``[C, S]`` or ``[1, S]``: steps in slots.
    fmt : format
        What the codes stand for, times the step.

    Returns
    -------
    array
        float64 ``[C, S]``, in squared slots.
    """
    negative, positive = counts[:, 0, :], counts[:, 1, :]
    sides = magnitudes(fmt)
    device = device_of(counts)
    if max(len(side) for side in sides) > MANY_CODES:
        tails = [tail_of(side, xp=xp) for side in (negative, positive)]

        def fine(number: Array) -> Array:
            step = xp.take(steps, number, axis=1)
            return sum(
                _fine_error(tail, step, step * side[-1], xp=xp)
                for tail, side in zip(tails, sides, strict=True)
            )

        return score_candidates(
            fine, steps.shape[1], counts.shape[0], xp=xp, device=device
        )
    # Codes that both sides have share their cells, so their counts add up first.
    shared = min(len(side) for side in sides)
    parts = [
        (tail_of(of, xp=xp), *cells_between(levels, device, xp=xp))
        for of, levels in (
            (negative + positive, sides[0][:shared]),
            (negative, sides[0][shared - 1 :]),
            (positive, sides[1][shared - 1 :]),
        )
        if len(levels) > 1
    ]
    moment = second_moment(negative, xp=xp) + second_moment(positive, xp=xp)

    def score(number: Array) -> Array:
        step = xp.take(steps, number, axis=1)
        gain = sum(
            xp.sum(gains(tail, step, edges, spans, xp=xp), axis=-1)
            for tail, edges, spans in parts
        )
        return _at_least_zero(moment[:, None] - 2 * step * gain, xp=xp)

    terms = counts.shape[0] * max(len(side) for side in sides)
    return score_candidates(score, steps.shape[1], terms, xp=xp, device=device)


@Kernel
def affine_error(counts: Array, steps: Array, codes: int, /, *, xp: Namespace) -> Array:
    """
    Return the least squared error over all zero points, summed over the density.

    Parameters
    ----------
    counts : array
        int64 ``[C, 2, slots]``, negative values first.
    steps : array
        float64 ``[C, S]`` or ``[1, S]``: steps in slots.
    codes : int
        Steps between the lowest and the highest code.

    Returns
    -------
    array
        float64 ``[C, S]``, in squared slots; infinite for steps so wide that a range
        one slot narrower would hold all slots in use.
    """
    sides = sides_of(counts, xp=xp)

    def score(number: Array) -> Array:
        step = xp.take(steps, number, axis=1)
        error = xp.min(zero_point_errors(sides, step, codes, xp=xp)[0], axis=-1)
        is_idle = step * codes - 1 >= xp.sum(sides.used, axis=-1)[:, None]
        return xp.where(is_idle, xp.full_like(error, float("inf")), error)

    terms = counts.shape[0] * (min(codes, _SPLITS) + 2)
    return score_candidates(
        score, steps.shape[1], terms, xp=xp, device=device_of(counts)
    )


class Sides(NamedTuple):
    """The densities of the negative and the positive values, and what they share."""

    negative: Tail
    positive: Tail
    moment: Array
    """Second moment of both, ``[C]``."""
    used: Array
    """Slots up to the last that holds a value, float64 ``[C, 2]``."""


def sides_of(counts: Array, /, *, xp: Namespace) -> Sides:
    """Return the densities of counts ``[C, 2, slots]``."""
    negative, positive = counts[:, 0, :], counts[:, 1, :]
    number = xp.arange(
        1, counts.shape[-1] + 1, dtype=xp.float64, device=device_of(counts)
    )
    return Sides(
        tail_of(negative, xp=xp),
        tail_of(positive, xp=xp),
        second_moment(negative, xp=xp) + second_moment(positive, xp=xp),
        xp.max(xp.where(counts > 0, number, xp.zeros_like(number)), axis=-1),
    )


def zero_point_errors(
    sides: Sides, steps: Array, codes: int, /, *, xp: Namespace
) -> tuple[Array, Array]:
    """
    Return the squared errors of the zero points of each step, and those zero points.

    Returns
    -------
    errors : array
        float64 ``[C, S, Z]``, in squared slots.
    below : array
        float64, of the same shape or ``[1, 1, Z]``: codes below zero.
    """
    if codes > MANY_CODES:
        below = _splits(sides, steps, codes, xp=xp)
        return fine_affine_error(sides, steps[:, :, None], below, codes, xp=xp), below
    device = device_of(sides.moment)
    edges, spans = cells_between([float(q) for q in range(codes + 1)], device, xp=xp)
    left, right = (
        xp.cumulative_sum(
            gains(tail, steps, edges, spans, xp=xp), axis=-1, include_initial=True
        )
        for tail in (sides.negative, sides.positive)
    )
    gain = 2 * steps[:, :, None] * (left + xp.flip(right, axis=-1))
    below = xp.arange(codes + 1, dtype=xp.float64, device=device)[None, None, :]
    return _at_least_zero(sides.moment[:, None, None] - gain, xp=xp), below


def fine_affine_error(
    sides: Sides, steps: Array, below: Array, codes: int, /, *, xp: Namespace
) -> Array:
    """Return the squared errors of steps finer than slots, `below` codes under zero."""
    return _fine_error(sides.negative, steps, steps * below, xp=xp) + _fine_error(
        sides.positive, steps, steps * (codes - below), xp=xp
    )


def cells_between(
    levels: list[float], device: object, *, xp: Namespace
) -> tuple[Array, Array]:
    """Return the edges between neighbouring levels, and the distances of the levels."""
    edges = [(a + b) / 2 for a, b in pairwise(levels)]
    spans = [b - a for a, b in pairwise(levels)]
    return tuple(
        xp.asarray(values, dtype=xp.float64, device=device) for values in (edges, spans)
    )


def gains(
    tail: Tail, step: Array, edges: Array, spans: Array, *, xp: Namespace
) -> Array:
    """Return the terms of the sum over codes, ``[C, S, n]``."""
    return spans * excess_beyond(tail, step[:, :, None] * edges, xp=xp)


def _fine_error(tail: Tail, step: Array, reach: Array, *, xp: Namespace) -> Array:
    """Return one side's error where steps are finer than slots."""
    beyond, saturated = mass_and_square_beyond(tail, reach, xp=xp)
    every, _ = mass_and_square_beyond(tail, xp.zeros_like(step), xp=xp)
    return step * step * (1 / 12) * (every - beyond) + saturated


def _splits(sides: Sides, steps: Array, codes: int, *, xp: Namespace) -> Array:
    """Return zero points to try: evenly spaced ones, and those that fit an end."""
    fits = xp.ceil(sides.used[:, None, :] / steps[:, :, None])
    ends = xp.stack([fits[:, :, 0], codes - fits[:, :, 1]], axis=-1)
    even = xp.asarray(
        [round(codes * i / _SPLITS) for i in range(_SPLITS + 1)],
        dtype=xp.float64,
        device=device_of(steps),
    )
    even = xp.broadcast_to(even, (*ends.shape[:2], _SPLITS + 1))
    return xp.concat([even, xp.clip(ends, 0, codes)], axis=-1)


def _at_least_zero(x: Array, *, xp: Namespace) -> Array:
    return xp.maximum(x, xp.zeros_like(x))
