"""Clip where the mean squared error of quantization is least.

Every slot edge is a candidate for the largest magnitude of a symmetric range, and for
the width of an asymmetric one, together with each of its zero points (beyond 9 bits,
with 257 of them and those that fit an end). The errors are those of
`qcore.methods.squared_error`: exact for the density of the histogram, but that steps
finer than slots have the error of a uniform density.
"""

from array_api_compat import device as device_of

from qcore.formats import IntFormat
from qcore.methods.ends import (
    TIE,
    best_candidate,
    gather,
    last_true,
    mirrored,
    spanned,
)
from qcore.methods.registry import register_method
from qcore.methods.squared_error import (
    affine_error,
    sides_of,
    symmetric_error,
    zero_point_errors,
)
from qcore.spec import QuantSpec
from qcore.statistics import Histogram
from qcore.typing import Array, Namespace

_LARGEST = (2 - 2.0**-23) * 2.0**127
"""Of float32, which a step beyond the values seen may exceed."""


@register_method("mse", needs=(Histogram,))
def mse(
    statistics: Histogram, spec: QuantSpec, /, *, xp: Namespace
) -> tuple[Array, Array]:
    """
    Return the range of least mean squared error.

    Parameters
    ----------
    statistics : Histogram
        What was collected.
    spec : QuantSpec
        Symmetric: the range reaches to a slot edge or to the largest magnitude seen.
        Asymmetric: its ends are whole steps, so that the zero point it was scored with
        is the one it gets; they may lie a slot and a step beyond the values seen.
    """
    low, high = spanned(statistics.min, statistics.max, spec, xp=xp)
    if spec.symmetric:
        return mirrored(_symmetric(statistics, spec, high, xp=xp), spec, xp=xp)
    assert isinstance(spec.format, IntFormat)  # QuantSpec refuses asymmetric floats
    return _asymmetric(statistics, spec.format, low, high, xp=xp)


def _edges(statistics: Histogram, last: int, *, xp: Namespace) -> Array:
    """Return the slot edges from 1 to `last`, float64 ``[1, last]``."""
    device = device_of(statistics.k)
    return xp.arange(1, last + 1, dtype=xp.float64, device=device)[None, :]


def _symmetric(
    statistics: Histogram, spec: QuantSpec, amax: Array, *, xp: Namespace
) -> Array:
    """Return the chosen largest magnitudes, float32 ``[C]``."""
    fmt = spec.format
    edges = _edges(statistics, statistics.slots, xp=xp)
    errors = symmetric_error(statistics.counts, edges * (1 / fmt.max), fmt, xp=xp)
    needed = xp.astype(amax, xp.float64) / statistics.width
    best = best_candidate(errors, edges - 1 < needed[:, None], xp=xp)
    reach = xp.astype(best + 1, xp.float64) * statistics.width
    return xp.minimum(xp.astype(reach, xp.float32), amax)


def _asymmetric(
    statistics: Histogram, fmt: IntFormat, low: Array, high: Array, *, xp: Namespace
) -> tuple[Array, Array]:
    """Return the chosen ends, float32 ``[C]`` each."""
    codes = fmt.qmax - fmt.qmin
    below, above = (
        xp.astype(end, xp.float64) / statistics.width for end in (-low, high)
    )
    widths = _edges(statistics, 2 * statistics.slots, xp=xp)
    errors = affine_error(statistics.counts, widths * (1 / codes), codes, xp=xp)
    best = best_candidate(errors, widths - 1 < (below + above)[:, None], xp=xp)
    # Nothing but zeros has no width; its step is of no matter but must be one.
    step = xp.astype(xp.clip(best, 0, None) + 1, xp.float64) * (1 / codes)

    sides = sides_of(statistics.counts, xp=xp)
    errors, splits = zero_point_errors(sides, step[:, None], codes, xp=xp)
    errors, splits = errors[:, 0, :], splits[:, 0, :]
    is_good = errors <= xp.min(errors, axis=1, keepdims=True) * TIE
    # Of equally good zero points, one that reaches least beyond the values seen.
    idle = xp.maximum(
        splits * step[:, None] - below[:, None],
        (codes - splits) * step[:, None] - above[:, None],
    )
    idle = xp.where(is_good, idle, xp.full_like(idle, float("inf")))
    chosen = last_true(idle <= xp.min(idle, axis=1, keepdims=True), xp=xp)
    split = gather(xp.broadcast_to(splits, idle.shape), chosen[:, None], xp=xp)[:, 0]
    unit = xp.where(best < 0, xp.zeros_like(step), step * statistics.width)
    lo = xp.clip(-split * unit, -_LARGEST, None)
    hi = xp.clip((codes - split) * unit, None, _LARGEST)
    return xp.astype(lo, xp.float32), xp.astype(hi, xp.float32)
