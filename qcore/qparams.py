"""Scales and zero points from a range.

Scales are normal float32 numbers, so that no library flushes them to zero, and zero is
always exactly representable. Scales that are themselves quantized are rounded before
codes are computed with them.
"""

from collections.abc import Iterable

from array_api_compat import device as device_of

from qcore.arithmetic import LARGEST, TINY, broadcast, divide, to_computing_dtype
from qcore.formats import Format, IntFormat
from qcore.libraries import arithmetic, check_library, is_concrete, namespace
from qcore.reduce import row_range
from qcore.scale_formats import power_of_two_scales, two_level_scales
from qcore.spec import E4M3, E8M0, QParams, QuantSpec
from qcore.typing import Array, Namespace

_SCALE_FLOATS = {"float16": (-14, 10, 15), "bfloat16": (-126, 7, 127)}
"""Smallest normal exponent, mantissa bits and largest exponent."""


def qparams_from_amax(
    amax: Array,
    spec: QuantSpec,
    /,
    *,
    global_scale: Array | None = None,
    xp: Namespace | None = None,
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
    global_scale : array, optional
        Floating-point, 0-d or broadcasting against `amax`, positive: what scales of
        float8_e4m3fn are multiples of. By default ``max(amax) / (qmax * 448)``.

    Returns
    -------
    QParams
        ``scale = max(amax / qmax, 2**-126)``, rounded to the spec's scale format if it
        has one; infinity then counts as the largest float32. Where there is a global
        scale, that is the scale of an amax of less than 2**-126.

    Raises
    ------
    TypeError
        If `amax` is not floating-point.
    ValueError
        If the spec is asymmetric, or a global scale is given for other scales.
    """
    if not spec.symmetric:
        raise ValueError(
            "`spec` must be symmetric to have scales from amax alone; "
            "use `qparams_from_range`."
        )
    _check_global_scale(spec, global_scale)
    xp = namespace(amax, xp)
    with arithmetic(xp):
        amax = _as_float32(amax, xp=xp)
        zero_point = xp.zeros_like(amax, dtype=xp.int32)
        if spec.scale_format == E4M3:
            amax = xp.minimum(amax, xp.full_like(amax, LARGEST))
            level = _checked_global_scale(global_scale, amax, xp=xp)
            scale, level = two_level_scales(amax, spec, level, xp=xp)
            return QParams(scale, zero_point, spec, level)
        if spec.scale_format == E8M0:
            scale = power_of_two_scales(amax, spec.format.max, spec, xp=xp)
        else:
            scale = _quotient(amax, spec.format.max, xp=xp)
        return QParams(_finished(scale, amax, spec, xp=xp), zero_point, spec)


def qparams_from_range(
    lo: Array,
    hi: Array,
    spec: QuantSpec,
    /,
    *,
    global_scale: Array | None = None,
    xp: Namespace | None = None,
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
    global_scale : array, optional
        As in `qparams_from_amax`.

    Returns
    -------
    QParams
        Of the shape of `lo`.

    Raises
    ------
    TypeError
        If the ends are not floating-point.
    ValueError
        If ``lo`` and ``hi`` differ in shape, or a global scale is given for scales that
        are not of float8_e4m3fn.
    """
    _check_global_scale(spec, global_scale)
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
            amax = amax_from_range(lo, hi, fmt, xp=xp)
            return qparams_from_amax(amax, spec, global_scale=global_scale, xp=xp)
        assert isinstance(fmt, IntFormat)  # QuantSpec refuses asymmetric floats
        steps = fmt.qmax - fmt.qmin
        if spec.scale_format == E8M0:
            extent = xp.astype(hi, xp.float64) - xp.astype(lo, xp.float64)
            scale = power_of_two_scales(extent, steps, spec, xp=xp)
        else:
            scale = _quotient(hi, steps, xp=xp) - _quotient(lo, steps, xp=xp)
        scale = _finished(scale, xp.maximum(-lo, hi), spec, xp=xp)
        wide = xp.astype(scale, xp.float32)
        zero_point = xp.clip(
            xp.round(fmt.qmin - divide(lo, wide, xp=xp)), fmt.qmin, fmt.qmax
        )
        zero_point = xp.where(xp.isnan(zero_point), zero, zero_point)
        return QParams(scale, xp.astype(zero_point, xp.int32), spec)


def amax_from_range(lo: Array, hi: Array, fmt: Format, /, *, xp: Namespace) -> Array:
    """Return the largest magnitude that codes, of zero point 0, can stand for."""
    return xp.maximum(-lo, hi) if fmt.signed else xp.where(xp.isnan(lo), lo, hi)


def qparams_from_data(
    x: Array,
    spec: QuantSpec,
    /,
    *,
    global_scale: Array | None = None,
    xp: Namespace | None = None,
) -> QParams:
    """
    Return the scales and zero points that just hold the data (dynamic quantization).

    Parameters
    ----------
    x : array
        Data of any shape, floating-point.
    spec : QuantSpec
        Its granularity says which elements share a scale.
    global_scale : array, optional
        As in `qparams_from_amax`.

    Returns
    -------
    QParams
        Of the rank of `x`. A row that holds NaN has a scale of NaN; so has every row
        where a global scale is found from it.

    Raises
    ------
    TypeError
        If `x` is not floating-point or not an array.
    ValueError
        If a global scale is given for scales that are not of float8_e4m3fn.
    """
    xp = namespace(x, xp)
    with arithmetic(xp):
        lo, hi = row_range(to_computing_dtype(x, xp=xp), spec.granularity, xp=xp)
        return qparams_from_range(lo, hi, spec, global_scale=global_scale, xp=xp)


def _check_global_scale(spec: QuantSpec, global_scale: Array | None) -> None:
    if global_scale is not None and spec.scale_format != E4M3:
        raise ValueError(
            f"`global_scale` must be None unless scales are of {E4M3}; the spec has "
            f"the scale format {spec.scale_format!r}."
        )


def _checked_global_scale(
    global_scale: Array | None, amax: Array, *, xp: Namespace
) -> Array | None:
    """Return a global scale of the library of `amax` that broadcasts to it."""
    if global_scale is None:
        return None
    check_library(global_scale, xp, "`global_scale`")
    broadcast(global_scale, amax, "global_scale", xp=xp)
    if is_concrete(global_scale, xp):
        usable = xp.logical_and(global_scale > 0, xp.isfinite(global_scale))
        # NaN is what data that held NaN has led to.
        usable = xp.logical_or(usable, xp.isnan(global_scale))
        if not bool(xp.all(usable)):
            raise ValueError("`global_scale` must be positive and finite.")
    return global_scale


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
