"""Choosing among ranges by the squared error of the codes they lead to."""

from dataclasses import replace

from qcore.arithmetic import LARGEST, TINY
from qcore.formats import IntFormat
from qcore.kernels import Kernel
from qcore.methods.ends import TIE, gather, last_true
from qcore.methods.squared_error import affine_error, noise_of, sides_of
from qcore.methods.step_search import search_symmetric
from qcore.qparams import qparams_from_range
from qcore.spec import E4M3, QuantSpec
from qcore.statistics import Histogram
from qcore.typing import Array, Namespace


def best_range(
    statistics: Histogram,
    low: Array,
    high: Array,
    spec: QuantSpec,
    /,
    *,
    xp: Namespace,
) -> tuple[Array, Array]:
    """
    Return the range of least squared error.

    Parameters
    ----------
    statistics : Histogram
        What was collected, with C entries.
    low, high : array
        float64 ``[C, S]``: the ends of ranges that hold zero.
    spec : QuantSpec
        How the tensor is to be quantized.

    Returns
    -------
    lo, hi : array
        float32 ``[C]``: of the candidates as good as the best, the widest. Where none
        is wide enough for a normal number, the first.
    """
    low, high = (
        xp.astype(xp.clip(end, -LARGEST, LARGEST), xp.float32) for end in (low, high)
    )
    # A range without extent would get the scale 1, of whatever data.
    allowed = xp.maximum(-low, high) >= TINY
    errors = _errors(statistics, low, high, allowed, spec, xp=xp)
    noise = noise_of(statistics.counts, spec, xp=xp)
    least = xp.min(errors, axis=1, keepdims=True)
    is_best = xp.logical_and(allowed, errors <= least * TIE + noise)
    extent = xp.astype(high, xp.float64) - xp.astype(low, xp.float64)
    extent = xp.where(is_best, extent, xp.full_like(extent, -1.0))
    is_widest = extent >= xp.max(extent, axis=1, keepdims=True)
    chosen = last_true(xp.logical_and(is_best, is_widest), xp=xp)
    index = xp.clip(chosen, 0, None)[:, None]
    return gather(low, index, xp=xp)[:, 0], gather(high, index, xp=xp)[:, 0]


def _errors(
    statistics: Histogram,
    low: Array,
    high: Array,
    allowed: Array,
    spec: QuantSpec,
    *,
    xp: Namespace,
) -> Array:
    """Return the squared errors of ranges ``[C, S]``, infinite where not allowed."""
    qparams = qparams_from_range(low, high, judged_alone(spec), xp=xp)
    steps = xp.astype(qparams.scale, xp.float64) / statistics.width[:, None]
    fmt = spec.format
    if spec.symmetric:
        return search_symmetric(statistics.counts, steps, allowed, fmt, xp=xp)
    assert isinstance(fmt, IntFormat)  # QuantSpec refuses asymmetric floats
    below = xp.astype(qparams.zero_point, xp.float64) - fmt.qmin
    codes = fmt.qmax - fmt.qmin
    return search_ranges(statistics.counts, steps, below, allowed, codes, xp=xp)


def judged_alone(spec: QuantSpec, /) -> QuantSpec:
    """Return the spec under which the range of one entry is judged.

    The global scale of scales of float8_e4m3fn is found when all ranges are known, so
    that they are judged as if not rounded.
    """
    if spec.scale_format != E4M3:
        return spec
    return replace(spec, scale_format=None, scale_rounding=None)


@Kernel
def search_ranges(
    counts: Array,
    steps: Array,
    below: Array,
    allowed: Array,
    codes: int,
    /,
    *,
    xp: Namespace,
) -> Array:
    """
    Return the squared error of each step with a zero point of its own.

    Parameters
    ----------
    counts : array
        int64 ``[C, 2, slots]``, negative values first.
    steps, below : array
        float64 ``[C, S]``: steps in slots, and how many codes lie under zero.
    allowed : array
        Booleans ``[C, S]``: the ranges to choose from.
    codes : int
        Steps between the lowest and the highest code.

    Returns
    -------
    array
        float64 ``[C, S]``, in squared slots; infinite where not allowed. A native
        function may give infinity to any range that is not the best.
    """
    errors = affine_error(sides_of(counts, xp=xp), steps, below, codes, xp=xp)
    return xp.where(allowed, errors, xp.full_like(errors, float("inf")))
