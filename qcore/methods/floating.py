"""Take the power of two for a scale under which the squared error is least.

The floating observer of PPQ (DirectMSEObserver) tries seven powers for 8-bit floats, on
4096 samples of the data. All that can be the best are tried here, on the histogram: a
power that just covers the values has every code of a larger one in their range, so none
larger is better; what reaches less than half a slot keeps nothing.
"""

from math import ceil, log2

from array_api_compat import device as device_of

from qcore.arithmetic import LARGEST, TINY
from qcore.formats import IntFormat
from qcore.methods.ends import best_candidate, gather, spanned
from qcore.methods.range_search import search_ranges
from qcore.methods.registry import register_method
from qcore.methods.squared_error import best_below, noise_of, sides_of
from qcore.methods.step_search import search_symmetric
from qcore.spec import QuantSpec
from qcore.statistics import Histogram
from qcore.typing import Array, Namespace


@register_method("floating", needs=(Histogram,))
def floating(
    statistics: Histogram, spec: QuantSpec, /, *, xp: Namespace
) -> tuple[Array, Array]:
    """
    Return the range whose scale is the best power of two.

    Parameters
    ----------
    statistics : Histogram
        What was collected.
    spec : QuantSpec
        Of any format. Asymmetric: with the best of the zero points. The range may be up
        to twice as wide as that of the values seen.
    """
    fmt = spec.format
    low, high = spanned(statistics.min, statistics.max, spec, xp=xp)
    extent = xp.astype(high, xp.float64)
    if spec.symmetric:
        steps = _powers(statistics, fmt.max, statistics.slots, xp=xp)
        reach = above = steps * fmt.max
        below = above if fmt.signed else xp.zeros_like(above)
    else:
        assert isinstance(fmt, IntFormat)  # QuantSpec refuses asymmetric floats
        codes = fmt.qmax - fmt.qmin
        extent = extent - xp.astype(low, xp.float64)
        steps = _powers(statistics, codes, 2 * statistics.slots, xp=xp)
        sides = sides_of(statistics.counts, xp=xp)
        split = best_below(sides.line, steps, codes, xp=xp)
        below, above = split * steps, (codes - split) * steps
        reach = below + above
    width = statistics.width[:, None]
    outer = xp.maximum(below, above) * width
    # A range of less than a normal number would get the scale 1.
    is_normal = xp.logical_and(outer >= TINY, outer <= LARGEST)
    allowed = xp.logical_and(is_normal, reach * width < 2 * extent[:, None])
    if spec.symmetric:
        errors = search_symmetric(statistics.counts, steps, allowed, fmt, xp=xp)
    else:
        errors = search_ranges(statistics.counts, steps, split, allowed, codes, xp=xp)
    noise = noise_of(statistics.counts, spec, xp=xp)
    best = best_candidate(errors, allowed, noise, xp=xp)[:, None]
    index = xp.clip(best, 0, None)
    lo, hi = (
        xp.where(best < 0, xp.zeros_like(width), gather(side, index, xp=xp) * width)
        for side in (below, above)
    )
    return xp.astype(0 - lo[:, 0], xp.float32), xp.astype(hi[:, 0], xp.float32)


def _powers(statistics: Histogram, codes: float, most: int, *, xp: Namespace) -> Array:
    """Return the powers of two under which codes reach from half a slot to `most`.

    float64 ``[C, S]``, ascending.
    """
    last = ceil(log2(most / codes))
    powers = [2.0**j for j in range(last - most.bit_length(), last + 1)]
    device = device_of(statistics.k)
    steps = xp.asarray(powers, dtype=xp.float64, device=device)
    return xp.broadcast_to(steps, (statistics.channels, len(powers)))
