"""Rounding to small floating-point formats, and their bit patterns.

Between two powers of two the numbers of a format are evenly spaced. So a magnitude is
looked up among the powers, multiplied by one over the spacing there, rounded and, for
values, multiplied back: every product is by a power of two and thus exact on every
library, whatever its compiler rearranges.
"""

from array_api_compat import device as device_of

from qcore.formats import FloatFormat
from qcore.rounding import MIRRORED, round_to_integer
from qcore.typing import Array, Namespace


def _significand(
    x: Array, fmt: FloatFormat, rounding: str, /, *, xp: Namespace
) -> tuple[Array, Array, Array]:
    """Return binade, rounded multiple of its spacing, and the spacing, of ``|x|``.

    Magnitudes saturate. Binade 0 holds the subnormal numbers and the first normal ones.
    """
    first = fmt.min_exponent
    last = first + (fmt.max_code >> fmt.mantissa) - 1
    magnitude = xp.clip(xp.abs(x), 0.0, fmt.max)

    def table(values: list[float]) -> Array:
        return xp.asarray(values, dtype=x.dtype, device=device_of(x))

    thresholds = table([2.0**e for e in range(first + 1, last + 1)])
    spacing = [2.0 ** (e - fmt.mantissa) for e in range(first, last + 1)]
    flat = xp.reshape(xp.where(xp.isnan(x), xp.zeros_like(x), magnitude), (-1,))
    binade = xp.searchsorted(thresholds, flat, side="right")

    def lookup(values: list[float]) -> Array:
        return xp.reshape(xp.take(table(values), binade), x.shape)

    exact = magnitude * lookup([1 / s for s in spacing])
    multiple = round_to_integer(exact, rounding, xp=xp)
    if rounding in MIRRORED:
        negative = round_to_integer(exact, MIRRORED[rounding], xp=xp)
        multiple = xp.where(x < 0, negative, multiple)
    return xp.reshape(binade, x.shape), multiple, lookup(spacing)


def round_to_format(
    x: Array, fmt: FloatFormat, rounding: str = "half_even", /, *, xp: Namespace
) -> Array:
    """Return the numbers of `fmt` that `x` is rounded to, saturated; NaN stays NaN."""
    _, multiple, spacing = _significand(x, fmt, rounding, xp=xp)
    nearest = multiple * spacing
    return xp.where(x < 0, -nearest, nearest)


def encode(
    x: Array, fmt: FloatFormat, rounding: str = "half_even", /, *, xp: Namespace
) -> Array:
    """Return the uint8 codes of what `x` is rounded to, the sign of zero kept.

    NaN has the format's NaN, of the sign of `x`; in a format without one, the code of
    the lowest number.
    """
    is_nan = xp.isnan(x)
    binade, multiple, _ = _significand(
        xp.where(is_nan, xp.zeros_like(x), x), fmt, rounding, xp=xp
    )
    # A full significand carries into the exponent field by itself.
    code = xp.astype(binade, xp.int32) * 2**fmt.mantissa + xp.astype(multiple, xp.int32)
    sign = xp.astype(xp.signbit(x), xp.int32) * fmt.sign_bit
    nan = xp.full_like(code, fmt.stored_nan)
    if fmt.nan_code is None:
        code = xp.where(is_nan, nan, code + sign)
    else:
        code = xp.where(is_nan, nan, code) + sign
    return xp.astype(code, xp.uint8)


def decode(codes: Array, fmt: FloatFormat, /, *, xp: Namespace) -> Array:
    """Return the float32 numbers that uint8 codes stand for."""
    values = xp.asarray(fmt.values, dtype=xp.float32, device=device_of(codes))
    index = xp.astype(xp.reshape(codes, (-1,)), xp.int32)
    return xp.reshape(xp.take(values, index), codes.shape)
