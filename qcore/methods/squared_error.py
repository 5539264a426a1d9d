"""The squared error of quantizing a density, for many steps at once.

Let the magnitudes a side's codes stand for be v_0 = 0 < v_1 < … < v_n times the step s,
M2 the second moment of the side's density and J(b) the integral of (x - b) beyond b.
Summing by parts over the rounding cells, whose edges are the midpoints, gives

    error(s) = M2 - 2 s * sum over q of (v_q - v_{q-1}) J(s (v_q + v_{q-1}) / 2)

J is a table lookup, so a step costs one term a code. Formats of many codes, whose steps
are finer than slots, have s**2 / 12 inside the range and the error of the saturated
tails beside it.
"""

from functools import cache, partial
from itertools import pairwise
from typing import NamedTuple

from array_api_compat import device as device_of

from qcore.formats import FloatFormat, Format
from qcore.kernels import fold
from qcore.methods.candidates import sum_terms
from qcore.methods.density import (
    Line,
    Tail,
    excess_beyond,
    excess_on,
    line_of,
    mass_and_square_beyond,
    second_moment,
    tail_of,
)
from qcore.spec import QuantSpec
from qcore.typing import Array, Namespace

MANY_CODES = 1 << 9
"""More codes than this on one side count as a fine grid."""


NOISE = 1e-12
"""Of the second moment: what is left of a smaller error is rounding error.

Sums over thousands of slots differ by 1e-14 or so between libraries.
"""


class Sides(NamedTuple):
    """The densities of the negative and the positive values, and what they share."""

    negative: Tail
    positive: Tail
    line: Line
    moment: Array
    """Second moment of both, ``[C]``."""


def sides_of(counts: Array, /, *, xp: Namespace) -> Sides:
    """Return the densities of counts ``[C, 2, slots]``."""
    tails = tail_of(counts[:, 0, :], xp=xp), tail_of(counts[:, 1, :], xp=xp)
    return Sides(*tails, line_of(*tails, xp=xp), second_moment(counts, xp=xp))


@cache
def magnitudes(fmt: Format, /) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the magnitudes of the negative and of the other codes at zero point 0."""
    if isinstance(fmt, FloatFormat):
        return fmt.magnitudes, fmt.magnitudes
    return (
        tuple(float(q) for q in range(1 - fmt.qmin)),
        tuple(float(q) for q in range(1 + fmt.qmax)),
    )


class Cells(NamedTuple):
    """Edges between neighbouring levels, in ascending order, and distances of these."""

    edges: tuple[float, ...]
    spans: tuple[float, ...]


@cache
def cells_of(fmt: Format, /) -> tuple[Cells, Cells, Cells]:
    """Return the rounding cells of the codes at zero point 0.

    Of those that both signs have, of those that the negative values have more, and of
    those that the positive ones do.
    """
    below, above = magnitudes(fmt)
    shared = min(len(below), len(above))

    def between(levels: tuple[float, ...]) -> Cells:
        edges = tuple((a + b) / 2 for a, b in pairwise(levels))
        return Cells(edges, tuple(b - a for a, b in pairwise(levels)))

    return (
        between(below[:shared]),
        between(below[shared - 1 :]),
        between(above[shared - 1 :]),
    )


def is_fine(fmt: Format, /) -> bool:
    """Return whether steps count as finer than slots."""
    return max(len(side) for side in magnitudes(fmt)) > MANY_CODES


def noise_of(counts: Array, spec: QuantSpec, /, *, xp: Namespace) -> Array:
    """Return by how much errors may differ for nothing, float64 ``[C, 1]``.

    Those of fine grids are sums of positive terms, which lose nothing.
    """
    fmt = spec.format
    if spec.symmetric or isinstance(fmt, FloatFormat):
        is_difference = not is_fine(fmt)
    else:
        is_difference = fmt.qmax - fmt.qmin <= MANY_CODES
    return NOISE * is_difference * second_moment(counts, xp=xp)[:, None]


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
    if is_fine(fmt):
        errors = [
            _fine_error(tail_of(counts[:, i, :], xp=xp), steps, steps * side[-1], xp=xp)
            for i, side in enumerate(magnitudes(fmt))
        ]
        return errors[0] + errors[1]
    steps = xp.broadcast_to(steps, (counts.shape[0], steps.shape[1]))
    gain = xp.zeros_like(steps)
    for tail, edges, spans in gain_parts(counts, fmt, xp=xp):

        def lost(
            edge: Array, span: Array, tail: Tail = tail, steps: Array = steps
        ) -> Array:
            return span * excess_beyond(tail, steps[:, :, None] * edge, xp=xp)

        gain = gain + sum_terms(lost, (edges, spans), steps, xp=xp)
    moment = second_moment(counts, xp=xp)
    return _at_least_zero(moment[:, None] - 2 * steps * gain, xp=xp)


def gain_parts(
    counts: Array, fmt: Format, /, *, xp: Namespace
) -> list[tuple[Tail, Array, Array]]:
    """Return what the sum over codes runs over: tails, cell edges and distances.

    Codes that both sides have share their cells, so their counts add up first.
    """
    negative, positive = counts[:, 0, :], counts[:, 1, :]
    parts = zip((negative + positive, negative, positive), cells_of(fmt), strict=True)
    made = partial(xp.asarray, dtype=xp.float64, device=device_of(counts))
    return [
        (tail_of(of, xp=xp), made(cells.edges), made(cells.spans))
        for of, cells in parts
        if cells.edges
    ]


def affine_error(
    sides: Sides, steps: Array, below: Array, codes: int, /, *, xp: Namespace
) -> Array:
    """
    Return the squared error with a zero point, summed over the density.

    Parameters
    ----------
    sides : Sides
        The densities.
    steps, below : array
        float64 that broadcasts to ``[C, S]``: steps in slots, and how many codes lie
        under zero.
    codes : int
        Steps between the lowest and the highest code.

    Returns
    -------
    array
        float64 ``[C, S]``, in squared slots.
    """
    if codes > MANY_CODES:
        return _fine_error(sides.negative, steps, steps * below, xp=xp) + _fine_error(
            sides.positive, steps, steps * (codes - below), xp=xp
        )
    steps, below, moment = xp.broadcast_arrays(steps, below, sides.moment[:, None])
    middle = xp.arange(codes, dtype=xp.float64, device=device_of(steps)) + 0.5

    def lost(middle: Array, weight: Array) -> Array:
        edges = steps[:, :, None] * (middle - below[:, :, None])
        return weight * excess_on(sides.line, edges, xp=xp)

    gain = sum_terms(lost, (middle, xp.ones_like(middle)), steps, xp=xp)
    return _at_least_zero(moment - 2 * steps * gain, xp=xp)


def best_below(line: Line, steps: Array, codes: int, /, *, xp: Namespace) -> Array:
    """Return how many codes are best under zero, float64 ``[C, S]``.

    One more is a gain while J at the new cell's edge exceeds J at the edge of the cell
    that is given up on the other side. The one falls and the other rises with every
    code, so bisection finds the last gain; of what gains nothing, the fewest.
    """

    def nearer(below: Array, number: Array) -> Array:
        more = below + number
        gained = excess_on(line, -steps * (more - 0.5), xp=xp)
        lost = excess_on(line, steps * (codes - more + 0.5), xp=xp)
        is_gain = xp.logical_and(more <= codes, gained > lost)
        return xp.where(is_gain, more, below)

    numbers = [float(1 << bit) for bit in reversed(range(codes.bit_length()))]
    items = xp.asarray(numbers, dtype=xp.float64, device=device_of(steps))
    return fold(xp.zeros_like(steps + line.curve[:, :1]), items, nearer, xp=xp)


def saturation(sides: Sides, below: Array, above: Array, /, *, xp: Namespace) -> Array:
    """Return the squared error of all beyond two reaches in slots, ``[C, S]``."""
    parts = zip((sides.negative, sides.positive), (below, above), strict=True)
    return sum(mass_and_square_beyond(tail, reach, xp=xp)[1] for tail, reach in parts)


def fine_parts(
    tail: Tail, step: Array, reach: Array, /, *, xp: Namespace
) -> tuple[Array, Array]:
    """Return one side's errors inside and beyond a reach, of steps finer than slots."""
    beyond, saturated = mass_and_square_beyond(tail, reach, xp=xp)
    inside = tail.mass[:, :1] - beyond
    return step * step * (1 / 12) * inside, saturated


def _fine_error(tail: Tail, step: Array, reach: Array, *, xp: Namespace) -> Array:
    """Return one side's error where steps are finer than slots."""
    inside, saturated = fine_parts(tail, step, reach, xp=xp)
    return inside + saturated


def _at_least_zero(x: Array, *, xp: Namespace) -> Array:
    return xp.maximum(x, xp.zeros_like(x))
