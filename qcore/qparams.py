"""Scales and zero points from a range.

Scales are normal float32 numbers, so that no library flushes them to zero, and zero is
always exactly representable.
"""

from collections.abc import Iterable

from array_api_compat import device as device_of

from qcore.arithmetic import TINY, divide, to_computing_dtype
from qcore.formats import IntFormat
from qcore.libraries import arithmetic, namespace
from qcore.reduce import row_range
from qcore.spec import QParams, QuantSpec
from qcore.typing import Array, Namespace

_SCALE_FLOATS = {"float16": (-14, 10, 15), "bfloat16": (-126, 7, 127)}
"""Smallest normal exponent, mantissa bits and largest exponent."""


def qparams_from_amax(
    amax: Array, spec: QuantSpec, /, *, xp: Namespace | None = None
) -> QParams:
    """
    Return the scales under which codes reach just to `amax`, zero points 0.

    Parameters
    ----------
    amax : array
        Largest magnitudes, floating-point, in the shape the scales shall have. NaN
        gives a scale of NaN; less than 2**-126, the smallest normal float32, gives 1.
    spec : QuantSpec
        Symmetric.

    Returns
    -------
    QParams
        ``scale = max(amax / qmax, 2**-126)``.

    Raises
    ------
    TypeError
        If `amax` is not floating-point.
    ValueError
        If the spec is asymmetric.
    """
    if not spec.symmetric:
        raise ValueError(
            "`spec` must be symmetric to have scales from amax alone; "
            "use `qparams_from_range`."
        )
    xp = namespace(amax, xp)
    with arithmetic(xp):
        amax = _as_float32(amax, xp=xp)
        scale = _finished(_quotient(amax, spec.format.max, xp=xp), amax, spec, xp=xp)
        return QParams(scale, xp.zeros_like(amax, dtype=xp.int32), spec)


def qparams_from_range(
    lo: Array, hi: Array, spec: QuantSpec, /, *, xp: Namespace | None = None
) -> QParams:
    """
    Return the scales and zero points of the ranges ``[lo, hi]``.

    Parameters
    ----------
    lo, hi : array
        Ends of the ranges, floating-point, in the shape the scales shall have. A range
        that misses zero is widened to hold it; NaN gives a scale of NaN.
    spec : QuantSpec
        Symmetric: ``scale = amax / qmax`` with amax the larger magnitude (unsigned:
        ``max(hi, 0)``). Asymmetric: ``scale = hi / n - lo / n`` with
        ``n = qmax - qmin`` and zero point
        ``clip(round(qmin - lo / scale), qmin, qmax)``.

    Returns
    -------
    QParams
        Of the shape of `lo`.

    Raises
    ------
    TypeError
        If the ends are not floating-point.
    ValueError
        If ``lo`` and ``hi`` differ in shape.
    """
    xp = namespace(lo, xp)
    if lo.shape != hi.shape:
        raise ValueError(
            "`lo` and `hi` must have one shape; "
            f"got {tuple(lo.shape)} and {tuple(hi.shape)}."
        )
    with arithmetic(xp):
        lo, hi = _as_float32(lo, xp=xp), _as_float32(hi, xp=xp)
        zero = xp.zeros_like(lo)
        lo, hi = xp.minimum(lo, zero), xp.maximum(hi, zero)
        fmt = spec.format
        if spec.symmetric:
            amax = xp.maximum(-lo, hi) if fmt.signed else xp.where(xp.isnan(lo), lo, hi)
            return qparams_from_amax(amax, spec, xp=xp)
        assert isinstance(fmt, IntFormat)  # QuantSpec refuses asymmetric floats
        steps = fmt.qmax - fmt.qmin
        scale = _quotient(hi, steps, xp=xp) - _quotient(lo, steps, xp=xp)
        scale = _finished(scale, xp.maximum(-lo, hi), spec, xp=xp)
        wide = xp.astype(scale, xp.float32)
        zero_point = xp.clip(
            xp.round(fmt.qmin - divide(lo, wide, xp=xp)), fmt.qmin, fmt.qmax
        )
        zero_point = xp.where(xp.isnan(zero_point), zero, zero_point)
        return QParams(scale, xp.astype(zero_point, xp.int32), spec)


def qparams_from_data(
    x: Array, spec: QuantSpec, /, *, xp: Namespace | None = None
) -> QParams:
    """
    Return the scales and zero points that just hold the data (dynamic quantization).

    Parameters
    ----------
    x : array
        Data of any shape, floating-point.
    spec : QuantSpec
        Its granularity says which elements share a scale.

    Returns
    -------
    QParams
        Of the rank of `x`. A row that holds NaN has a scale of NaN.

    Raises
    ------
    TypeError
        If `x` is not floating-point or not an array.
    """
    xp = namespace(x, xp)
    with arithmetic(xp):
        lo, hi = row_range(to_computing_dtype(x, xp=xp), spec.granularity, xp=xp)
        return qparams_from_range(lo, hi, spec, xp=xp)


def _as_float32(x: Array, *, xp: Namespace) -> Array:
    return xp.astype(to_computing_dtype(x, xp=xp), xp.float32)


def _quotient(x: Array, divisor: float, *, xp: Namespace) -> Array:
    return divide(x, xp.full_like(x, divisor), xp=xp)


def _finished(scale: Array, amax: Array, spec: QuantSpec, *, xp: Namespace) -> Array:
    """Return usable scales: normal, 1 where there is no range, in the scale dtype."""
    scale = xp.maximum(scale, xp.full_like(scale, TINY))
    scale = xp.where(amax < TINY, xp.ones_like(scale), scale)
    if spec.scale_dtype == "float32":
        return scale
    scale = _rounded_up(scale, spec.scale_dtype, xp=xp)
    # A library without the dtype keeps its numbers in float32.
    return xp.astype(scale, getattr(xp, spec.scale_dtype, xp.float32))


def _rounded_up(scale: Array, dtype: str, *, xp: Namespace) -> Array:
    """Return the least numbers of a 16-bit float dtype that are not below `scale`.

    In float64, where the spacing of the smallest bfloat16 numbers is a normal number.
    """
    first, mantissa, largest = _SCALE_FLOATS[dtype]
    exponents = range(first, largest + 1)

    def table(powers: Iterable[int]) -> Array:
        values = [2.0**power for power in powers]
        return xp.asarray(values, dtype=xp.float64, device=device_of(scale))

    exact = xp.reshape(xp.astype(scale, xp.float64), (-1,))
    binade = xp.searchsorted(table(exponents[1:]), exact, side="right")
    steps = xp.ceil(exact * xp.take(table(mantissa - e for e in exponents), binade))
    rounded = steps * xp.take(table(e - mantissa for e in exponents), binade)
    limit = (2 - 2.0**-mantissa) * 2.0**largest
    return xp.reshape(xp.clip(rounded, None, limit), scale.shape)
