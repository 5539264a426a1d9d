"""The density of one sign's values, taken to lie evenly in their slots.

Lengths are in slots, so one set of candidates serves every row, whatever its k.
"""

from typing import NamedTuple

from array_api_compat import device as device_of

from qcore.methods.ends import gather
from qcore.typing import Array, Namespace


class Tail(NamedTuple):
    """What lies beyond the inner edge j of each slot, float64 ``[C, slots + 1]``.

    Half the slot's count, and the integrals of 1, (x - j) and (x - j)**2 over the
    density beyond j. The last entry, beyond all slots, is zero.
    """

    half: Array
    mass: Array
    excess: Array
    square: Array


def tail_of(counts: Array, /, *, xp: Namespace) -> Tail:
    """Return the tail integrals of counts ``[C, slots]``.

    They are sums of positive terms from the far end, so nothing cancels.
    """
    h = xp.astype(counts, xp.float64)

    def beyond(terms: Array) -> Array:
        """Return the sum from each slot on, and 0 for the end."""
        reverse = xp.cumulative_sum(
            xp.flip(terms, axis=1), axis=1, include_initial=True
        )
        return xp.flip(reverse, axis=1)

    mass = beyond(h)
    excess = beyond(mass[:, 1:] + h / 2)
    square = beyond(2 * excess[:, 1:] + mass[:, 1:] + h / 3)
    half = xp.concat([h / 2, xp.zeros_like(h[:, :1])], axis=1)
    return Tail(half, mass, excess, square)


def excess_beyond(tail: Tail, edge: Array, /, *, xp: Namespace) -> Array:
    """Return J(b), the integral of (x - b) beyond b, at edges b ``[C or 1, …]``."""
    slot, part = _place(tail, edge, xp=xp)
    half, mass, excess = (gather(t, slot, xp=xp) for t in tail[:3])
    return excess - part * (mass - part * half)


def mass_and_square_beyond(
    tail: Tail, edge: Array, /, *, xp: Namespace
) -> tuple[Array, Array]:
    """Return the integrals of 1 and (x - b)**2 beyond b, at edges b ``[C or 1, …]``."""
    slot, part = _place(tail, edge, xp=xp)
    half, mass, excess, square = (gather(t, slot, xp=xp) for t in tail)
    curve = square - part * (2 * excess - part * (mass - part * half * (2 / 3)))
    return mass - 2 * part * half, curve


class Line(NamedTuple):
    """J of both signs as one function of a signed edge, ``[C, 2 * slots + 2]``.

    A parabola in each slot: ``constant + f * (slope + f * curve)`` where f is how far
    the edge lies above the slot's lower end. At a negative edge J counts what lies
    below it. The outermost entries, beyond all slots, are zero.
    """

    constant: Array
    slope: Array
    curve: Array


def line_of(negative: Tail, positive: Tail, /, *, xp: Namespace) -> Line:
    """Return J of both signs on one line."""
    end = xp.zeros_like(negative.half[:, :1])

    def joined(below: Array, above: Array) -> Array:
        return xp.concat([end, xp.flip(below, axis=1), above], axis=1)

    return Line(
        joined(negative.excess[:, 1:], positive.excess),
        joined(negative.mass[:, 1:], -positive.mass),
        joined(negative.half[:, :-1], positive.half),
    )


def excess_on(line: Line, edge: Array, /, *, xp: Namespace) -> Array:
    """Return J at signed edges ``[C or 1, …]``."""
    slots = line.curve.shape[1] // 2 - 1
    slot = xp.floor(xp.clip(edge, -slots - 1, slots))
    part = edge - slot
    index = xp.astype(slot, xp.int64) + (slots + 1)
    constant, slope, curve = (gather(t, index, xp=xp) for t in line)
    return constant + part * (slope + part * curve)


def second_moment(counts: Array, /, *, xp: Namespace) -> Array:
    """Return the integral of x**2 over the density of counts ``[C, 2, slots]``."""
    slots = counts.shape[2]
    middle = xp.arange(slots, dtype=xp.float64, device=device_of(counts)) + 0.5
    squares = xp.astype(counts, xp.float64) * (middle * middle + 1 / 12)
    sides = xp.sum(squares, axis=2)
    return sides[:, 0] + sides[:, 1]


def _place(tail: Tail, edge: Array, *, xp: Namespace) -> tuple[Array, Array]:
    """Return the slots that hold the edges, and how far inside them the edges lie."""
    slot = xp.floor(xp.clip(edge, 0, tail.half.shape[1] - 1))
    return xp.astype(slot, xp.int64), edge - slot
