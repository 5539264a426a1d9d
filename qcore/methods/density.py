"""The density of one sign's values, taken to lie evenly in their slots.

Lengths are in slots, so one set of candidates serves every row, whatever its k.
"""

from typing import NamedTuple

from array_api_compat import device as device_of

from qcore.methods.ends import gather
from qcore.typing import Array, Namespace


class Tail(NamedTuple):
    """What lies beyond each slot, float64 ``[C, slots + 1]``; the last entry is empty.

    For slot j and its upper edge e = j + 1: half the count of the slot, and the
    integrals of 1, (x - e) and (x - e)**2 over the density beyond e.
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
        """Return the sum over the later slots, for each slot and for the end."""
        reverse = xp.cumulative_sum(
            xp.flip(terms, axis=1), axis=1, include_initial=True
        )
        return xp.flip(reverse, axis=1)

    zero = xp.zeros_like(h[:, :1])

    def after(table: Array) -> Array:
        """Return the table at the upper edges, with the empty end."""
        return xp.concat([table[:, 1:], zero], axis=1)

    mass = beyond(h)
    excess = beyond(mass[:, 1:] + h / 2)
    square = beyond(2 * excess[:, 1:] + mass[:, 1:] + h / 3)
    half = xp.concat([h / 2, zero], axis=1)
    return Tail(half, after(mass), after(excess), after(square))


def excess_beyond(tail: Tail, edge: Array, /, *, xp: Namespace) -> Array:
    """Return J(b), the integral of (x - b) beyond b, at edges b ``[C or 1, …]``."""
    slot, rest = _place(tail, edge, xp=xp)
    half, mass, excess = (gather(t, slot, xp=xp) for t in tail[:3])
    return excess + rest * (mass + rest * half)


def mass_and_square_beyond(
    tail: Tail, edge: Array, /, *, xp: Namespace
) -> tuple[Array, Array]:
    """Return the integrals of 1 and (x - b)**2 beyond b, at edges b ``[C or 1, …]``."""
    slot, rest = _place(tail, edge, xp=xp)
    half, mass, excess, square = (gather(t, slot, xp=xp) for t in tail)
    curve = square + rest * (2 * excess + rest * (mass + rest * half * (2 / 3)))
    return mass + 2 * rest * half, curve


def second_moment(counts: Array, /, *, xp: Namespace) -> Array:
    """Return the integral of x**2 over the density of counts ``[C, slots]``."""
    slots = counts.shape[1]
    middle = xp.arange(slots, dtype=xp.float64, device=device_of(counts)) + 0.5
    return xp.sum(xp.astype(counts, xp.float64) * (middle * middle + 1 / 12), axis=1)


def _place(tail: Tail, edge: Array, *, xp: Namespace) -> tuple[Array, Array]:
    """Return the slots that hold the edges, and how far each is from its slot's end."""
    last = tail.half.shape[1] - 1
    slot = xp.floor(xp.clip(edge, 0, last))
    rest = (slot + 1) - xp.minimum(edge, slot + 1)
    return xp.astype(slot, xp.int64), rest
