"""Quantize and dequantize: what codes a tensor has, and what they mean.

``codes = clip(round(x / scale) + zero_point, qmin, qmax)`` and
``x ≈ (codes - zero_point) * scale``, as ONNX's QuantizeLinear and DequantizeLinear have
it. The division is a true one: multiplying by ``1 / scale`` moves ties.
"""

from qcore.arithmetic import (
    TINY,
    check_codes,
    check_floating,
    divide,
    to_computing_dtype,
)
from qcore.formats import FloatFormat, Format, IntFormat
from qcore.granularity import Granularity
from qcore.kernels import Kernel
from qcore.libraries import arithmetic, check_library, is_concrete, namespace
from qcore.minifloat import decode, encode, round_to_format
from qcore.rounding import round_to_integer
from qcore.spec import QParams, QuantSpec
from qcore.typing import Array, Namespace


def quantize(x: Array, qparams: QParams, /, *, xp: Namespace | None = None) -> Array:
    """
    Return the codes of `x`.

    Parameters
    ----------
    x : array
        Data of any shape, floating-point. 16-bit floats are computed in float32,
        float64 in float64.
    qparams : QParams
        Scales and zero points on the library and device of `x`.

    Returns
    -------
    array
        Codes of the shape of `x`. Integers of up to 8 bits are int8 or uint8, wider
        ones int16 or uint16; floats are uint8 bit patterns. Values beyond the range
        saturate; NaN becomes the lowest integer code, as in ONNX Runtime, or the NaN of
        a float format (its lowest number where it has none).

    Raises
    ------
    TypeError
        If `x` is not floating-point or not an array.
    ValueError
        If the scales do not fit the shape of `x`.
    """
    xp = namespace(x, xp)
    with arithmetic(xp):
        scale, zero_point = fitting(x, qparams, xp=xp)
        codes: Array = quantize_data(x, scale, zero_point, qparams.spec, xp=xp)
        return codes


def dequantize(
    codes: Array, qparams: QParams, /, *, xp: Namespace | None = None
) -> Array:
    """
    Return the float32 values that codes stand for.

    Parameters
    ----------
    codes : array
        Codes as `quantize` returns them, of any shape.
    qparams : QParams
        Scales and zero points on the library and device of `codes`.

    Returns
    -------
    array
        float32, of the shape of `codes`.

    Raises
    ------
    TypeError
        If the codes are not of the format's storage dtype.
    ValueError
        If the scales do not fit the shape of `codes`.
    """
    xp = namespace(codes, xp)
    fmt = qparams.spec.format
    check_codes(codes, fmt)
    with arithmetic(xp):
        scale, zero_point = _expanded(
            *_scales(qparams, xp=xp), qparams.spec.granularity, codes.shape, xp=xp
        )
        if isinstance(fmt, FloatFormat):
            return decode(codes, fmt, xp=xp) * scale
        return xp.astype(xp.astype(codes, xp.int32) - zero_point, xp.float32) * scale


def fake_quantize(
    x: Array, qparams: QParams, /, *, xp: Namespace | None = None
) -> Array:
    """
    Return `x` quantized and dequantized.

    Parameters
    ----------
    x : array
        Data of any shape, floating-point.
    qparams : QParams
        Scales and zero points on the library and device of `x`.

    Returns
    -------
    array
        Of the shape and dtype of `x`, computed in float32 (float64 for float64 data)
        and rounded once to a 16-bit dtype; NaN stays NaN.

    Raises
    ------
    TypeError
        If `x` is not floating-point or not an array.
    ValueError
        If the scales do not fit the shape of `x`.
    """
    xp = namespace(x, xp)
    with arithmetic(xp):
        scale, zero_point = fitting(x, qparams, xp=xp)
        found: Array = fake_quantize_data(x, scale, zero_point, qparams.spec, xp=xp)
        return found


@Kernel
def quantize_data(
    x: Array, scale: Array, zero_point: Array, spec: QuantSpec, /, *, xp: Namespace
) -> Array:
    """
    Return the codes of data.

    Parameters
    ----------
    x : array
        Floating-point data of any shape.
    scale, zero_point : array
        float32 and int32: one element, or the shape of the scales of `x`.
    spec : QuantSpec
        Format, granularity and rounding.
    """
    data, scale, zero_point = aligned(x, scale, zero_point, spec.granularity, xp=xp)
    return to_codes(data, scale, zero_point, spec.format, spec.rounding, xp=xp)


@Kernel
def fake_quantize_data(
    x: Array, scale: Array, zero_point: Array, spec: QuantSpec, /, *, xp: Namespace
) -> Array:
    """Return data, of its own dtype, rounded to what its codes stand for.

    The parameters are those of `quantize_data`.
    """
    data, scale, zero_point = aligned(x, scale, zero_point, spec.granularity, xp=xp)
    found = to_grid(data, scale, zero_point, spec.format, spec.rounding, xp=xp)
    return xp.astype(found, x.dtype)


def to_codes(
    x: Array,
    scale: Array,
    zero_point: Array,
    fmt: Format,
    rounding: str = "half_even",
    /,
    *,
    xp: Namespace,
) -> Array:
    """Return the codes of float32 or float64 data; the scales broadcast against it."""
    quotient = in_steps(x, scale, rounding, xp=xp)
    if isinstance(fmt, FloatFormat):
        return encode(quotient, fmt, rounding, xp=xp)
    codes = xp.clip(rounded(quotient, zero_point, rounding, xp=xp), fmt.qmin, fmt.qmax)
    codes = xp.where(xp.isnan(codes), xp.full_like(codes, fmt.qmin), codes)
    return xp.astype(xp.astype(codes, xp.int32), getattr(xp, fmt.storage))


def to_grid(
    x: Array,
    scale: Array,
    zero_point: Array,
    fmt: Format,
    rounding: str = "half_even",
    /,
    *,
    xp: Namespace,
) -> Array:
    """Return float32 or float64 data rounded to what its codes stand for."""
    quotient = in_steps(x, scale, rounding, xp=xp)
    if isinstance(fmt, FloatFormat):
        return round_to_format(quotient, fmt, rounding, xp=xp) * scale
    codes = rounded(quotient, zero_point, rounding, xp=xp)
    return steps_of(codes, zero_point, fmt, xp=xp) * scale


def in_steps(x: Array, scale: Array, rounding: str, /, *, xp: Namespace) -> Array:
    """Return the data in steps.

    Rounding up or down tells the smallest number from zero. Some libraries do not where
    it is subnormal, so none shall: below twice the smallest normal number it is zero.
    """
    quotient = divide(x, scale, xp=xp)
    if rounding in ("up", "down"):
        is_small = xp.abs(quotient) < 2 * TINY
        quotient = xp.where(is_small, quotient * 0, quotient)  # of its sign
    return quotient


def rounded(
    quotient: Array, zero_point: Array, rounding: str, /, *, xp: Namespace
) -> Array:
    """Return integer codes as floats, neither saturated nor free of NaN."""
    codes = round_to_integer(quotient, rounding, xp=xp)
    return codes + xp.astype(zero_point, quotient.dtype)


def steps_of(
    codes: Array, zero_point: Array, fmt: IntFormat, /, *, xp: Namespace
) -> Array:
    """Return how many steps from zero the saturated codes stand for, as floats."""
    return xp.clip(codes, fmt.qmin, fmt.qmax) - xp.astype(zero_point, codes.dtype)


def fitting(x: Array, qparams: QParams, /, *, xp: Namespace) -> tuple[Array, Array]:
    """Return scale and zero point, float32 and int32, that fit floating-point data.

    Raises
    ------
    TypeError
        If the data is not floating-point or the scales are of another library.
    ValueError
        If the scales do not fit the shape of the data.
    """
    check_floating(x)
    scale, zero_point = _scales(qparams, xp=xp)
    fit = qparams.spec.granularity.fit
    return fit(scale, x.shape, xp=xp), fit(zero_point, x.shape, xp=xp)


def aligned(
    x: Array,
    scale: Array,
    zero_point: Array,
    granularity: Granularity,
    /,
    *,
    xp: Namespace,
) -> tuple[Array, Array, Array]:
    """Return data, scales and zero points, in the computing dtype and broadcastable."""
    data = to_computing_dtype(x, xp=xp)
    scale, zero_point = _expanded(scale, zero_point, granularity, x.shape, xp=xp)
    return data, xp.astype(scale, data.dtype), zero_point


def _scales(qparams: QParams, *, xp: Namespace) -> tuple[Array, Array]:
    if is_concrete(qparams.scale, xp):  # a compiler would trace the inference too
        check_library(qparams.scale, xp, "scales")
    return xp.astype(qparams.scale, xp.float32), qparams.zero_point


def _expanded(
    scale: Array,
    zero_point: Array,
    granularity: Granularity,
    shape: tuple[int, ...],
    *,
    xp: Namespace,
) -> tuple[Array, Array]:
    return (
        granularity.expand(scale, shape, xp=xp),
        granularity.expand(zero_point, shape, xp=xp),
    )
