"""Clip where the mean squared error of quantization is least.

Every slot edge is a candidate for the largest magnitude of a symmetric range, and for
the width of an asymmetric one, together with each of its zero points. The errors are
those of `qcore.methods.squared_error`: exact for the density of the histogram, but that
steps finer than slots have the error of a uniform density.
"""

from collections.abc import Callable

from array_api_compat import device as device_of

from qcore.arithmetic import LARGEST
from qcore.formats import FloatFormat, IntFormat
from qcore.kernels import Kernel
from qcore.methods.ends import (
    TIE,
    best_candidate,
    gather,
    mirrored,
    spanned,
    strided,
)
from qcore.methods.floating import floating
from qcore.methods.options import whole_number
from qcore.methods.registry import register_method
from qcore.methods.squared_error import (
    affine_error,
    best_below,
    noise_of,
    sides_of,
)
from qcore.methods.step_search import search_affine, search_symmetric
from qcore.spec import E8M0, QuantSpec
from qcore.statistics import Histogram
from qcore.typing import Array, Namespace


@register_method("mse", needs=(Histogram,))
def mse(
    statistics: Histogram,
    spec: QuantSpec,
    /,
    *,
    xp: Namespace,
    start_bin: int = 1,
    stride: int = 1,
) -> tuple[Array, Array]:
    """
    Return the range of least mean squared error.

    Parameters
    ----------
    statistics : Histogram
        What was collected.
    spec : QuantSpec
        Symmetric: the range reaches to a slot edge or to the largest magnitude seen;
        that of a float format to an edge up to twice as far, since the spacing of its
        codes repeats in every octave. Asymmetric: the ends are whole steps, so that the
        zero point it was scored with is the one it gets; they may lie a step beyond the
        values seen. Power-of-two scales: those of the method `floating`, whose
        candidates the options leave alone.
    start_bin : int, optional
        Slots of the narrowest range.
    stride : int, optional
        Slots between candidates; the widest is the range of the values seen.

    Raises
    ------
    ValueError
        If an option is less than 1.
    """
    candidates = (
        whole_number("start_bin", start_bin, 1),
        whole_number("stride", stride, 1),
    )
    if spec.scale_format == E8M0:
        return floating(statistics, spec, xp=xp)
    low, high = spanned(statistics.min, statistics.max, spec, xp=xp)
    if spec.symmetric:
        amax = _symmetric(statistics, spec, high, candidates, xp=xp)
        return mirrored(amax, spec, xp=xp)
    return _asymmetric(statistics, spec, low, high, candidates, xp=xp)


def _reaches(
    limit: Array, last: int, candidates: tuple[int, int], *, xp: Namespace
) -> tuple[Array, Array]:
    """Return candidates in slots, none beyond a limit ``[C, 1]``, and which differ.

    float64 and booleans ``[C, S]``; `candidates` are the first and the stride.
    """
    start, stride = candidates
    edge = strided(start, last, stride, device_of(limit), xp=xp)
    edge = xp.astype(edge, xp.float64)[None, :]
    before = xp.concat([xp.zeros_like(edge[:, :1]), edge[:, :-1]], axis=1)
    return xp.minimum(edge, limit), before < limit


def _symmetric(
    statistics: Histogram,
    spec: QuantSpec,
    amax: Array,
    candidates: tuple[int, int],
    *,
    xp: Namespace,
) -> Array:
    """Return the chosen largest magnitudes, float32 ``[C]``."""
    fmt = spec.format
    octaves = 2 if isinstance(fmt, FloatFormat) else 1
    limit = octaves * (xp.astype(amax, xp.float64) / statistics.width)[:, None]
    last = octaves * statistics.slots
    reaches, allowed = _reaches(limit, last, candidates, xp=xp)
    errors = search_symmetric(
        statistics.counts, reaches * (1 / fmt.max), allowed, fmt, xp=xp
    )
    noise = noise_of(statistics.counts, spec, xp=xp)
    best = best_candidate(errors, allowed, noise, xp=xp)[:, None]
    reach = gather(reaches, xp.clip(best, 0, None), xp=xp)
    reach = xp.where(best < 0, limit, reach)[:, 0] * statistics.width
    return xp.astype(xp.clip(reach, None, LARGEST), xp.float32)


def _asymmetric(
    statistics: Histogram,
    spec: QuantSpec,
    low: Array,
    high: Array,
    candidates: tuple[int, int],
    *,
    xp: Namespace,
) -> tuple[Array, Array]:
    """Return the chosen ends, float32 ``[C]`` each."""
    fmt = spec.format
    assert isinstance(fmt, IntFormat)  # QuantSpec refuses asymmetric floats
    codes = fmt.qmax - fmt.qmin
    below, above = (
        (xp.astype(end, xp.float64) / statistics.width)[:, None] for end in (-low, high)
    )
    last = 2 * statistics.slots
    widths, allowed = _reaches(below + above, last, candidates, xp=xp)
    steps = widths * (1 / codes)
    errors = search_affine(statistics.counts, steps, allowed, codes, xp=xp)
    noise = noise_of(statistics.counts, spec, xp=xp)
    best = best_candidate(errors, allowed, noise, xp=xp)[:, None]
    # Nothing but zeros has no width; its step is of no matter but must be one.
    step = gather(steps, xp.clip(best, 0, None), xp=xp)
    step = xp.where(best < 0, xp.ones_like(step), step)

    reach = xp.concat([below, above], axis=1)
    split = best_split(statistics.counts, step, reach, noise, codes, xp=xp)
    step, best = step[:, 0], best[:, 0]
    unit = xp.where(best < 0, xp.zeros_like(step), step * statistics.width)
    lo = xp.clip(-split * unit, -LARGEST, None)
    hi = xp.clip((codes - split) * unit, None, LARGEST)
    return xp.astype(lo, xp.float32), xp.astype(hi, xp.float32)


@Kernel
def best_split(
    counts: Array,
    step: Array,
    reach: Array,
    noise: Array,
    codes: int,
    /,
    *,
    xp: Namespace,
) -> Array:
    """
    Return how many codes are best below zero.

    Of equally good numbers, one whose range reaches least beyond the values seen.
    Tried are the one found by bisection, its neighbours, and the two that centre the
    range on the values seen.

    Parameters
    ----------
    counts : array
        int64 ``[C, 2, slots]``, negative values first.
    step : array
        float64 ``[C, 1]``: the step in slots.
    reach : array
        float64 ``[C, 2]``: how far the values reach below and above zero, in slots.
    noise : array
        float64 ``[C, 1]``: by how much errors may differ for nothing.
    codes : int
        Steps between the lowest and the highest code.

    Returns
    -------
    array
        float64 ``[C]``.
    """
    sides = sides_of(counts, xp=xp)

    def errors_of(splits: Array) -> Array:
        return affine_error(sides, step, splits, codes, xp=xp)

    found = best_below(sides.line, step, codes, xp=xp)
    return chosen_split(found, step, reach, noise, codes, errors_of=errors_of, xp=xp)


def chosen_split(
    found: Array,
    step: Array,
    reach: Array,
    noise: Array,
    codes: int,
    /,
    *,
    errors_of: Callable[[Array], Array],
    xp: Namespace,
) -> Array:
    """
    Return what `best_split` does, from what bisection found.

    Parameters
    ----------
    found : array
        float64 ``[C, 1]``: how many codes below zero bisection found.
    step, reach, noise, codes
        As of `best_split`.
    errors_of : callable
        From how many codes lie below zero, float64 ``[C, S]``, to the errors.

    Returns
    -------
    array
        float64 ``[C]``.
    """
    below, above = reach[:, :1], reach[:, 1:]
    centred = xp.floor((codes + (below - above) / step) / 2)
    splits = xp.concat([found - 1, found, found + 1, centred, centred + 1], axis=1)
    splits = xp.clip(splits, 0, codes)
    errors = errors_of(splits)
    is_good = errors <= xp.min(errors, axis=1, keepdims=True) * TIE + noise
    idle = xp.maximum(splits * step - below, (codes - splits) * step - above)
    idle = xp.where(is_good, idle, xp.full_like(idle, float("inf")))
    is_chosen = idle <= xp.min(idle, axis=1, keepdims=True)
    return xp.max(xp.where(is_chosen, splits, xp.zeros_like(splits)), axis=1)
