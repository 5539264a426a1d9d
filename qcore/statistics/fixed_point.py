"""Sums without rounding, as integers: they add up to the same bits in any order.

A number is held as limbs of 31 bits, lowest first: its value is the sum of
``limb[i] * 2**(31 * i + LOWEST)``. Each limb lies in ``[0, 2**31)`` but the last, which
has the sign, so that equal sums have equal limbs. There is room for 2**63 float32
numbers, and for their squares.
"""

from array_api_compat import device as device_of

from qcore.libraries import is_concrete
from qcore.typing import Array, Namespace

BITS = 31
"""Of a limb: two of them fit an int64 with its sign."""

LOWEST = -356
"""log2 of what the lowest bit is worth.

It puts most data, multiples of 2**-46 below 2**16, into two limbs that are neighbours.
"""

LIMBS = 22

_PAIRS = tuple(2.0 ** (2 * BITS * i + LOWEST) for i in range(LIMBS // 2))


def exact_sum(x: Array, bits: tuple[int, int], /, *, xp: Namespace) -> Array:
    """Return the sum of each row, int64 ``[C, LIMBS]``.

    Parameters
    ----------
    x : array
        float64 ``[C, n]``, finite, n < 2**32.
    bits : tuple of int
        log2 of what the lowest bit of any element is worth, and of a bound on their
        magnitudes: limbs outside are not looked at.
    """
    lowest, highest = ((bit - LOWEST) // (2 * BITS) for bit in (bits[0], bits[1] - 1))
    nothing = xp.zeros(x.shape[0], dtype=xp.int64, device=device_of(x))
    limbs = [nothing] * LIMBS
    is_known = 0 not in x.shape and is_concrete(x, xp)
    for i in range(highest, lowest - 1, -1):
        unit = _PAIRS[i]
        if is_known and float(xp.max(xp.abs(x))) < unit:
            continue
        part = xp.astype(x / unit, xp.int64)  # towards zero; all of this is exact
        x = x - xp.astype(part, xp.float64) * unit
        high = part >> BITS
        limbs[2 * i] = xp.sum(part - (high << BITS), axis=1)
        limbs[2 * i + 1] = xp.sum(high, axis=1)
    return carried(xp.stack(limbs, axis=1), xp=xp)


def carried(limbs: Array, /, *, xp: Namespace) -> Array:
    """Return the same numbers, every limb but the last in ``[0, 2**31)``."""
    parts = [limbs[..., i] for i in range(LIMBS)]
    for i in range(LIMBS - 1):
        carry = parts[i] >> BITS
        parts[i] = parts[i] - (carry << BITS)
        parts[i + 1] = parts[i + 1] + carry
    return xp.stack(parts, axis=-1)


def to_float64(limbs: Array, /, *, xp: Namespace) -> Array:
    """Return the numbers to within an ulp, the same on every library."""
    is_negative = (limbs[..., -1] < 0)[..., None]
    limbs = carried(xp.where(is_negative, -limbs, limbs), xp=xp)
    total = xp.zeros(limbs.shape[:-1], dtype=xp.float64, device=device_of(limbs))
    for i in range(LIMBS):
        total = total + xp.astype(limbs[..., i], xp.float64) * 2.0 ** (
            BITS * i + LOWEST
        )
    return xp.where(is_negative[..., 0], -total, total)
