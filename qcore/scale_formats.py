"""Scales that are themselves quantized: powers of two, and float8 on two levels.

Powers of two are those of "OCP Microscaling Formats (MX) Specification" v1.0 and of
PPQ's POWER_OF_2 policy; a float8 scale for each block times a float32 one for the whole
tensor is NVIDIA's NVFP4, as TensorRT Model Optimizer has it. The exponents come from
tables, not from a logarithm, whose last bit differs between libraries.
"""

import math

from array_api_compat import device as device_of

from qcore.arithmetic import TINY, check_codes, divide, to_computing_dtype
from qcore.errors import QuantError
from qcore.formats import FloatFormat, Format, IntFormat, parse_format
from qcore.libraries import arithmetic, is_concrete, namespace
from qcore.minifloat import encode, round_to_format
from qcore.reduce import reduce_amax
from qcore.spec import E4M3, E8M0, SCALE_ROUNDINGS, QParams, QuantSpec
from qcore.typing import Array, Namespace

_FIRST, _LAST = -126, 127
"""Exponents of the powers of two that are normal float32 numbers."""

GLOBAL_RANGE = 2.0**-117, 2.0**118
"""Of global scales whose products with all float8_e4m3fn numbers are normal."""


def power_of_two_scales(
    extent: Array, steps: float, spec: QuantSpec, /, *, xp: Namespace
) -> Array:
    """
    Return the powers of two that make `steps` of them about `extent`.

    Parameters
    ----------
    extent : array
        Of any shape, float32 or float64; NaN gives NaN, too large ones the largest.
    steps : float
        The code that the extent is mapped to.
    spec : QuantSpec
        Its scale rounding and, for what a file can hold, its format.

    Returns
    -------
    array
        float32, 2**-126 to 2**127 (2**121 for int8, whose stored scale is 64 times as
        large).
    """
    rounding = spec.scale_rounding or SCALE_ROUNDINGS[E8M0][0]
    exponents = range(_FIRST, _LAST - _fraction_bits(spec.format) + 1)
    if rounding == "up":  # the least power with extent <= steps * power
        limits, side = [steps * 2.0**e for e in exponents[:-1]], "left"
    elif rounding == "floor":  # frexp counts one more than floor(log2)
        lift = math.frexp(steps)[1] - 1
        limits, side = [2.0 ** (e + lift) for e in exponents[1:]], "right"
    else:
        limits, side = [steps * 2.0 ** (e - 0.5) for e in exponents[1:]], "right"
    device = device_of(extent)
    flat = xp.reshape(xp.astype(extent, xp.float64), (-1,))
    place = xp.searchsorted(
        xp.asarray(limits, dtype=xp.float64, device=device), flat, side=side
    )
    place = xp.where(xp.isnan(flat), xp.zeros_like(place), place)
    powers = [2.0**e for e in exponents]
    table = xp.asarray(powers, dtype=xp.float32, device=device)
    scale = xp.reshape(xp.take(table, place), extent.shape)
    return xp.where(xp.isnan(extent), xp.full_like(scale, float("nan")), scale)


def two_level_scales(
    amax: Array, spec: QuantSpec, global_scale: Array | None, /, *, xp: Namespace
) -> tuple[Array, Array]:
    """
    Return scales that are float8_e4m3fn numbers times a global scale, and that one.

    Parameters
    ----------
    amax : array
        float32, of any shape; 0 gives the number 1, what is too small the smallest.
    spec : QuantSpec
        Its format and scale rounding.
    global_scale : array or None
        By default that under which the largest `amax` has the largest number, 448; 1
        if all are zero.

    Returns
    -------
    scale, global_scale : array
        float32.
    """
    fmt = parse_format(E4M3)
    assert isinstance(fmt, FloatFormat)
    top = float(spec.format.max)
    if global_scale is None:
        largest = reduce_amax(xp.reshape(amax, (-1,)), keepdims=False, xp=xp)
        whole = xp.full_like(largest, top * fmt.max)
        global_scale = divide(largest, whole, xp=xp)
        one = xp.ones_like(global_scale)
        global_scale = xp.where(largest < TINY, one, global_scale)
    else:
        global_scale = to_computing_dtype(global_scale, xp=xp)
        global_scale = xp.astype(global_scale, xp.float32)
    global_scale = xp.clip(global_scale, *GLOBAL_RANGE)
    rounding = spec.scale_rounding or SCALE_ROUNDINGS[E4M3][0]
    part = divide(amax, top * global_scale, xp=xp)
    part = round_to_format(part, fmt, rounding, xp=xp)
    part = xp.maximum(part, xp.full_like(part, fmt.magnitudes[1]))
    part = xp.where(amax < TINY, xp.ones_like(part), part)
    return part * global_scale, global_scale


def encode_scales(
    qparams: QParams, /, *, xp: Namespace | None = None
) -> tuple[Array, Array | None]:
    """
    Return scales as the bytes of a file.

    Parameters
    ----------
    qparams : QParams
        Of a spec with a scale format.

    Returns
    -------
    codes : array
        uint8, of the shape of the scales: bit patterns of the scale format. Those of
        int8 with power-of-two scales are of MXINT8's X, which is 64 times the scale:
        OCP's elements are the codes times 2**-6.
    global_scale : array or None
        float32; `None` where scales are powers of two.

    Raises
    ------
    QuantError
        If the spec has no scale format or the scales are not such numbers.
    """
    xp = namespace(qparams.scale, xp)
    fmt = _scale_format(qparams.spec)
    with arithmetic(xp):
        scale, global_scale = qparams.scale, qparams.global_scale
        if fmt.name == E8M0:
            codes = _exponent_codes(scale, qparams.spec.format, xp=xp)
            global_scale = None
        elif global_scale is None:
            raise QuantError(f"`qparams` of {E4M3} scales must have a global scale.")
        else:
            codes = encode(divide(scale, global_scale, xp=xp), fmt, xp=xp)
        stored = decode_scales(codes, qparams.spec, global_scale, xp=xp)
        same = xp.all(xp.logical_or(stored == scale, xp.isnan(scale)))
        if is_concrete(same, xp) and not bool(same):
            raise QuantError(
                f"`qparams` must have scales of {fmt.name}; got others. Make them by "
                "`qparams_from_data` or `calibrate` with that scale format."
            )
        return codes, global_scale


def decode_scales(
    codes: Array,
    spec: QuantSpec,
    global_scale: Array | None = None,
    /,
    *,
    xp: Namespace | None = None,
) -> Array:
    """
    Return the scales that the bytes of a file stand for.

    Parameters
    ----------
    codes : array
        uint8, of any shape, as `encode_scales` returns them.
    spec : QuantSpec
        With a scale format.
    global_scale : array, optional
        As `encode_scales` returns it.

    Returns
    -------
    array
        float32, of the shape of `codes`; at least 2**-126, also for what other programs
        write for blocks of zeros.

    Raises
    ------
    TypeError
        If the codes are not uint8.
    QuantError
        If the spec has no scale format, or there is a global scale with powers of two
        or none with float8_e4m3fn.
    """
    xp = namespace(codes, xp)
    fmt = _scale_format(spec)
    check_codes(codes, fmt)
    if (global_scale is None) != (fmt.name == E8M0):
        raise QuantError(
            f"`global_scale` must be given with scales of {E4M3}, and with no others."
        )
    unit = 2.0 ** -_fraction_bits(spec.format) if fmt.name == E8M0 else 1.0
    with arithmetic(xp):
        values = [v if math.isnan(v) else max(v * unit, TINY) for v in fmt.values]
        table = xp.asarray(values, dtype=xp.float32, device=device_of(codes))
        index = xp.astype(xp.reshape(codes, (-1,)), xp.int32)
        scale = xp.reshape(xp.take(table, index), codes.shape)
        if global_scale is None:
            return scale
        scale = scale * global_scale
        return xp.maximum(scale, xp.full_like(scale, TINY))


def _scale_format(spec: QuantSpec) -> FloatFormat:
    if spec.scale_format is None:
        raise QuantError("`spec` must have a scale format; got None.")
    fmt = parse_format(spec.scale_format)
    assert isinstance(fmt, FloatFormat)  # QuantSpec refuses others
    return fmt


def _fraction_bits(fmt: Format) -> int:
    """Return how far OCP has the binary point of the elements from the right."""
    return 6 if isinstance(fmt, IntFormat) and fmt.name == "int8" else 0


def _exponent_codes(scale: Array, fmt: Format, *, xp: Namespace) -> Array:
    """Return float8_e8m0fnu codes: exponents plus the bias, NaN 255."""
    powers = [2.0**e for e in range(_FIRST + 1, _LAST + 1)]
    table = xp.asarray(powers, dtype=xp.float32, device=device_of(scale))
    place = xp.searchsorted(table, xp.reshape(scale, (-1,)), side="right")
    code = xp.reshape(xp.astype(place, xp.int32), scale.shape)
    code = code + (_FIRST + 127 + _fraction_bits(fmt))
    code = xp.where(xp.isnan(scale), xp.full_like(code, 255), code)
    return xp.astype(xp.clip(code, 0, 255), xp.uint8)
