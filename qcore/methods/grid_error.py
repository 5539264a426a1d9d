"""The error of one grid of codes in any norm, exact for the density of a histogram.

Let G(x) be the integral from zero to x of the distance to the nearest code, raised to
p. A slot of count h from e to e + 1 contributes h (G(e + 1) - G(e)), and G has a closed
form between codes. So a grid costs one lookup a slot, however many codes it has.
"""

from itertools import pairwise
from typing import NamedTuple

from array_api_compat import device as device_of

from qcore.formats import FloatFormat, Format
from qcore.typing import Array, Namespace


class GridError(NamedTuple):
    """Sums over the density of ``|error|**p``, float64 ``[C]``, in slots to the p."""

    inside: Array
    clipped: Array
    """Of the values beyond the outermost codes."""


def grid_error(
    counts: Array,
    step: Array,
    below: Array,
    fmt: Format,
    power: float,
    /,
    *,
    xp: Namespace,
) -> GridError:
    """
    Return the errors of rounding to a grid of codes.

    Parameters
    ----------
    counts : array
        int64 ``[C, 2, slots]``, negative values first.
    step : array
        float64 ``[C]``: the scale, in slots.
    below : array
        float64 ``[C]``: how many codes lie under zero; not used for float formats.
    fmt : format
        What the codes stand for, times the step.
    power : float
        The p of the norm, more than 0.
    """
    edges = xp.arange(counts.shape[-1] + 1, dtype=xp.float64, device=device_of(counts))
    h = xp.astype(counts, xp.float64)
    inside: list[Array] = []
    clipped: list[Array] = []
    for side in range(2):
        if isinstance(fmt, FloatFormat):
            last = xp.full_like(step, fmt.max)
        else:
            last = (fmt.qmax - fmt.qmin) - below if side else below
        held = xp.minimum(edges, (last * step)[:, None])
        place = held / step[:, None]
        if isinstance(fmt, FloatFormat):
            units = _float_integral(place, fmt, power, xp=xp)
        else:
            units = _integer_integral(place, power, xp=xp)
        whole = units * (step ** (power + 1))[:, None]
        beyond = (edges - held) ** (power + 1) * (1 / (power + 1))
        for sums, table in ((inside, whole), (clipped, beyond)):
            sums.append(xp.sum(h[:, side, :] * xp.diff(table, axis=-1), axis=-1))
    return GridError(inside[0] + inside[1], clipped[0] + clipped[1])


def _integer_integral(u: Array, power: float, *, xp: Namespace) -> Array:
    """Return G for codes at 0, 1, 2 …, at places u up to the last code."""
    nearest = xp.floor(u + 0.5)
    cell = 2 * 0.5 ** (power + 1) / (power + 1)
    return nearest * cell + _part(u - nearest, power, xp=xp)


def _float_integral(
    u: Array, fmt: FloatFormat, power: float, *, xp: Namespace
) -> Array:
    """Return G for the magnitudes of a float format, at places up to the largest."""
    levels = list(fmt.magnitudes)
    sums = [0.0]
    for low, high in pairwise(levels):
        half = ((high - low) / 2) ** (power + 1) / (power + 1)
        sums.append(sums[-1] + 2 * half)
    middles = [(a + b) / 2 for a, b in pairwise(levels)]

    def table(values: list[float]) -> Array:
        return xp.asarray(values, dtype=xp.float64, device=device_of(u))

    flat = xp.reshape(u, (-1,))
    code = xp.searchsorted(table(middles), flat, side="right")
    start, level = (
        xp.reshape(xp.take(table(v), code), u.shape) for v in (sums, levels)
    )
    return start + _part(u - level, power, xp=xp)


def _part(distance: Array, power: float, *, xp: Namespace) -> Array:
    """Return the integral of ``|x|**p`` from 0 to a signed distance."""
    size = xp.abs(distance) ** (power + 1) * (1 / (power + 1))
    return xp.where(distance < 0, -size, size)
