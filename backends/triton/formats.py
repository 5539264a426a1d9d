"""What kernels are told about a format of codes."""

from typing import Any

from qcore.formats import FloatFormat, Format


def numbers_of(fmt: Format, /) -> dict[str, Any]:
    """Return the range of a format and, of a float format, how its bits are shared.

    The range is of runtime numbers, so that all integer formats share a kernel.
    """
    if not isinstance(fmt, FloatFormat):
        low, high = float(fmt.qmin), float(fmt.qmax)
        return {"low": low, "high": high, "mantissa": -1, "first": 0}
    return {
        "low": -fmt.max,
        "high": fmt.max,
        "mantissa": fmt.mantissa,
        "first": fmt.min_exponent,
    }


def nan_of(fmt: Format, /) -> dict[str, int]:
    """Return a float format's sign bit, and its code of NaN or of the lowest number."""
    if not isinstance(fmt, FloatFormat):
        return {"sign": 0, "nan": 0, "has_nan": False}
    has_nan = fmt.nan_code is not None
    return {"sign": fmt.sign_bit, "nan": fmt.stored_nan, "has_nan": has_nan}


def is_served(fmt: Format, /) -> bool:
    """Return whether the kernels know a format: all but those of powers of two."""
    return not isinstance(fmt, FloatFormat) or (
        fmt.signed
        and fmt.bits <= 8
        and fmt.min_exponent - fmt.mantissa > -50
        and fmt.max < 2.0**100
    )
