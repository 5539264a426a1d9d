"""Sums without rounding, as integers: they add up to the same bits in any order.

A number is held as limbs of 32 bits, lowest first: its value is the sum of
``limb[i] * 2**(32 * i + LOWEST)``. Each limb lies in ``[0, 2**32)`` but the last, which
has the sign, so that equal sums have equal limbs. Between ``2**-320`` and ``2**320``
there is room for 2**63 float32 numbers and for their squares.
"""

from array_api_compat import device as device_of

from qcore.libraries import is_concrete
from qcore.typing import Array, Namespace

BITS = 32
"""Of a limb."""

LOWEST = -320
"""log2 of what the lowest bit is worth."""

LIMBS = 20

_UNITS = tuple(2.0 ** (BITS * i + LOWEST) for i in range(LIMBS))


def exact_sum(x: Array, bits: tuple[int, int], /, *, xp: Namespace) -> Array:
    """Return the sum of each row, int64 ``[C, LIMBS]``.

    Parameters
    ----------
    x : array
        float64 ``[C, n]``, finite, n < 2**31.
    bits : tuple of int
        log2 of what the lowest bit of any element is worth, and of a bound on their
        magnitudes: limbs outside are not looked at.
    """
    lowest, highest = ((bit - LOWEST) // BITS for bit in (bits[0], bits[1] - 1))
    nothing = xp.zeros(x.shape[0], dtype=xp.int64, device=device_of(x))
    limbs = [nothing] * LIMBS
    can_stop = is_concrete(x, xp)
    for place in range(highest, lowest - 1, -1):
        if can_stop and not bool(xp.any(x != 0)):
            break
        unit = _UNITS[place]
        part = xp.trunc(x / unit)  # exact, as is all that follows
        x = x - part * unit
        limbs[place] = xp.sum(xp.astype(part, xp.int64), axis=1)
    return carried(xp.stack(limbs, axis=1), xp=xp)


def carried(limbs: Array, /, *, xp: Namespace) -> Array:
    """Return the same numbers, every limb but the last in ``[0, 2**32)``."""
    parts = [limbs[..., i] for i in range(LIMBS)]
    for i in range(LIMBS - 1):
        carry = parts[i] // 2**BITS
        parts[i] = parts[i] - carry * 2**BITS
        parts[i + 1] = parts[i + 1] + carry
    return xp.stack(parts, axis=-1)


def to_float64(limbs: Array, /, *, xp: Namespace) -> Array:
    """Return the numbers to within an ulp, the same on every library."""
    is_negative = (limbs[..., -1] < 0)[..., None]
    limbs = carried(xp.where(is_negative, -limbs, limbs), xp=xp)
    total = xp.zeros(limbs.shape[:-1], dtype=xp.float64, device=device_of(limbs))
    for i, unit in enumerate(_UNITS):
        total = total + xp.astype(limbs[..., i], xp.float64) * unit
    return xp.where(is_negative[..., 0], -total, total)
