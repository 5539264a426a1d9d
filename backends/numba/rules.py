"""How a quotient becomes a code and what the code stands for, one number at a time.

The formulas of `qcore.affine` and `qcore.minifloat`, for loops that the compiler turns
into vector instructions: no branch, no lookup, only selections. The spacing of the
numbers of a small float format is a power of two, made from the bits of the exponent.
"""

from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numba import types
from numba.extending import overload, register_jitable

from qcore.formats import FloatFormat, Format


class Integers(NamedTuple):
    """What integer codes stand for, in the dtype of the arithmetic."""

    lowest: float
    highest: float


class IntegerCodes(NamedTuple):
    """Integer codes themselves."""

    lowest: float
    highest: float


class Floats(NamedTuple):
    """Numbers of a small float format.

    `first` is the exponent field, in the dtype of the arithmetic, of its smallest
    normal number.
    """

    largest: float
    first: int
    mantissa: int


class FloatCodes(NamedTuple):
    """Codes of a small float format.

    Of a binade there are so many `codes`; negative numbers add `sign`, and a negative
    NaN adds `nan_sign`.
    """

    largest: float
    first: int
    mantissa: int
    codes: int
    sign: int
    nan: int
    nan_sign: int


Rule = Integers | IntegerCodes | Floats | FloatCodes
VALUES = Integers, Floats
"""Rules that give what codes stand for."""
BIASES = {"float32": 127, "float64": 1023}
"""Of the exponent fields of the dtypes that arithmetic is done in."""


@cache
def values_of(fmt: Format, dtype: np.dtype) -> Rule:
    """Return the rule that gives what codes stand for, in steps."""
    if isinstance(fmt, FloatFormat):
        first = np.int32(fmt.min_exponent + BIASES[dtype.name])
        return Floats(dtype.type(fmt.max), first, np.int32(fmt.mantissa))
    return Integers(dtype.type(fmt.qmin), dtype.type(fmt.qmax))


@cache
def codes_of(fmt: Format, dtype: np.dtype) -> Rule:
    """Return the rule that gives codes."""
    if not isinstance(fmt, FloatFormat):
        return IntegerCodes(dtype.type(fmt.qmin), dtype.type(fmt.qmax))
    sign = fmt.sign_bit
    nan_sign = 0 if fmt.nan_code is None else sign
    numbers = map(np.int32, (1 << fmt.mantissa, sign, fmt.stored_nan, nan_sign))
    return FloatCodes(*values_of(fmt, dtype), *numbers)


def rounded(quotient: Any, zero: Any, rule: Any) -> Any:
    """Return the code, or how many steps from zero it stands for."""
    raise NotImplementedError("compiled code only")


def is_inside(quotient: Any, zero: Any, rule: Any) -> Any:
    """Return whether a quotient does not saturate; NaN is outside."""
    raise NotImplementedError("compiled code only")


def _integer(quotient: Any, zero: Any, rule: Any) -> Any:
    code = np.rint(quotient) + zero
    # Each comparison is such that NaN stays.
    code = rule.lowest if code < rule.lowest else code
    code = rule.highest if code > rule.highest else code
    return code - zero


def _integer_code(quotient: Any, zero: Any, rule: Any) -> Any:
    code = np.rint(quotient) + zero
    code = code if code >= rule.lowest else rule.lowest  # of NaN too
    code = rule.highest if code > rule.highest else code
    return np.int32(code)


def _float(quotient: Any, zero: Any, rule: Any) -> Any:  # noqa: ARG001
    magnitude = abs(quotient)
    magnitude = rule.largest if magnitude > rule.largest else magnitude
    _, spacing, inverse = _binade(magnitude, rule.first, rule.mantissa)
    nearest = np.rint(magnitude * inverse) * spacing
    return -nearest if quotient < 0 else nearest


def _float_code(quotient: Any, zero: Any, rule: Any) -> Any:  # noqa: ARG001
    magnitude = abs(quotient)
    magnitude = magnitude if magnitude <= rule.largest else rule.largest
    binade, _, inverse = _binade(magnitude, rule.first, rule.mantissa)
    # A full significand carries into the exponent field by itself.
    multiple = np.int32(np.rint(magnitude * inverse))
    # Each operation back to 32 bits, which numba widens.
    code = np.int32(np.int32(binade * rule.codes) + multiple)
    negative = _sign_mask(quotient)
    code = np.int32(code + np.int32(negative & rule.sign))
    nan = np.int32(rule.nan + np.int32(negative & rule.nan_sign))
    return nan if np.isnan(quotient) else code


_ROUNDED = {
    Integers: _integer,
    IntegerCodes: _integer_code,
    Floats: _float,
    FloatCodes: _float_code,
}


@overload(rounded)
def _rounded(quotient: Any, zero: Any, rule: Any) -> Any:  # noqa: ARG001
    return _ROUNDED.get(rule.instance_class)


@overload(is_inside)
def _is_inside(quotient: Any, zero: Any, rule: Any) -> Any:  # noqa: ARG001
    def of_integers(quotient: Any, zero: Any, rule: Any) -> Any:
        code = np.rint(quotient) + zero
        return (code >= rule.lowest) & (code <= rule.highest)

    def of_floats(quotient: Any, zero: Any, rule: Any) -> Any:  # noqa: ARG001
        return abs(quotient) <= rule.largest

    return of_integers if rule.instance_class is Integers else of_floats


def _binade(magnitude: Any, first: Any, mantissa: Any) -> Any:
    """Return number and spacing of the binade, and one over that.

    Binade 0 holds the subnormal numbers and the first normal ones.
    """
    raise NotImplementedError("compiled code only")


def _binade_of_single(magnitude: Any, first: Any, mantissa: Any) -> Any:
    field = np.int32(np.float32(magnitude).view(np.int32) >> np.int32(23))
    field = max(field, first)
    low = np.int32(np.int32(field - mantissa) << np.int32(23))
    inverse = np.int32(np.int32(254 << 23) - low)
    return np.int32(field - first), low.view(np.float32), inverse.view(np.float32)


def _binade_of_double(magnitude: Any, first: Any, mantissa: Any) -> Any:
    field = np.int64(np.float64(magnitude).view(np.int64) >> np.int64(52))
    field = max(field, np.int64(first))
    low = np.int64((field - mantissa) << np.int64(52))
    inverse = np.int64(np.int64(2046 << 52) - low)
    return np.int32(field - first), low.view(np.float64), inverse.view(np.float64)


@overload(_binade)
def _binades(magnitude: Any, first: Any, mantissa: Any) -> Any:
    del first, mantissa
    return _binade_of_single if magnitude == types.float32 else _binade_of_double


@register_jitable
def _sign_mask(number: Any) -> Any:
    """Return all bits set for what is negative, zero and NaN too, else none."""
    return np.int32(np.float32(number).view(np.int32) >> np.int32(31))
