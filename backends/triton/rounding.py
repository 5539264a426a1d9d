"""Arithmetic on a tile that gives the same bits compiled and interpreted.

Triton's own casts to bfloat16 and to float8 differ between the two, its minimum drops
NaN in one of them, and its ``/`` of float32 is not a correctly rounded one. So small
formats are rounded by integer operations on the pattern, NaN is put in at the end, and
division is `divided`. Launch without fusing (``enable_fp_fusion=False``).
"""

import triton
import triton.language as tl


@triton.jit
def widened(x):
    """Return data in the dtype that it is computed in: float64 or else float32."""
    if x.dtype == tl.bfloat16:
        pattern = x.to(tl.int16, bitcast=True).to(tl.int32) << 16
        wide = pattern.to(tl.float32, bitcast=True)
    elif x.dtype == tl.float64:
        wide = x
    else:
        wide = x.to(tl.float32)
    return wide


@triton.jit
def narrowed(y, dtype: tl.constexpr):
    """Return float32 or float64 numbers rounded once to the dtype of the data."""
    if dtype == tl.bfloat16:
        is_nan = y != y
        pattern = tl.where(is_nan, 0.0, y).to(tl.int32, bitcast=True)
        pattern = (pattern + 0x7FFF + ((pattern >> 16) & 1)) >> 16
        pattern = tl.where(is_nan, 0x7FC0, pattern)
        narrow = pattern.to(tl.int16).to(tl.bfloat16, bitcast=True)
    else:
        narrow = y.to(dtype)
    return narrow


@triton.jit
def pattern_of(x):
    """Return the bits of float32 or float64 numbers as integers of their width."""
    if x.dtype == tl.float64:
        pattern = x.to(tl.int64, bitcast=True)
    else:
        pattern = x.to(tl.int32, bitcast=True)
    return pattern


@triton.jit
def divided(x, scale):
    """Return the correctly rounded quotient, but a positive speck for zeros.

    Zeros, which ReLU makes many of, would take the long way of special operands. The
    speck, 2**-60, rounds to zero in every format, and lets go of the zero itself.
    """
    x = tl.where(x == 0, scale * 2.0**-60, x)
    if x.dtype == tl.float64:
        quotient = x / scale
    else:
        quotient = tl.div_rn(x, scale)
    return quotient


@triton.jit
def half_even(x):
    """Return the nearest whole numbers, those between two of them even.

    A number added and taken away leaves no room for a fraction. Numbers too large for
    that stay too large for any code; the sign of zero is lost.
    """
    if x.dtype == tl.float64:
        whole = (x + 6755399441055744.0) - 6755399441055744.0  # 1.5 * 2**52
    else:
        whole = (x + 12582912.0) - 12582912.0  # 1.5 * 2**23
    return whole


@triton.jit
def small_float(magnitude, mantissa: tl.constexpr, first: tl.constexpr):
    """Return codes and numbers that magnitudes within a float format are rounded to.

    Integers round the pattern of what is normal in the format, whose exponents start at
    `first`. The others are multiples of the smallest number; added to a number spaced
    as they are, they round to its last bit.
    """
    width: tl.constexpr = 52 if magnitude.dtype == tl.float64 else 23
    bias: tl.constexpr = 1023 if magnitude.dtype == tl.float64 else 127
    shift: tl.constexpr = width - mantissa
    pattern = pattern_of(magnitude)
    pattern += ((1 << (shift - 1)) - 1) + ((pattern >> shift) & 1)
    steps = pattern >> shift
    normal = (steps << shift).to(magnitude.dtype, bitcast=True)

    spaced: tl.constexpr = width + first - mantissa
    raised = magnitude + 2.0**spaced
    multiple = pattern_of(raised) - ((bias + spaced) << width)

    is_normal = magnitude >= 2.0**first
    code = tl.where(is_normal, steps - ((bias + first - 1) << mantissa), multiple)
    return code.to(tl.int32), tl.where(is_normal, normal, raised - 2.0**spaced)
