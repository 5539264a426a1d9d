"""Data as bit patterns, whose dtype tells compiled code what they are.

numba has no 16-bit floats, and a library may hand out bfloat16 as a dtype that NumPy
does not know.
"""

from functools import cache
from typing import Any

import numpy as np
from numba import types
from numba.extending import overload, register_jitable

from qcore.backends.numba.memory import readonly

PATTERNS: dict[str, type] = {
    "float16": np.uint16,
    "bfloat16": np.int16,
    "int16": np.int16,
    "float32": np.int32,
    "float64": np.float64,
}
"""The dtype under which compiled code sees each dtype of data."""


@cache
def pattern_dtype(dtype: np.dtype) -> np.dtype | None:
    """Return the dtype that compiled code sees instead, if it knows data of one.

    int16 is how a library without NumPy's consent hands out bfloat16.
    """
    found = PATTERNS.get(dtype.name) if dtype.isnative else None
    return None if found is None else np.dtype(found)


def patterns(x: np.ndarray) -> np.ndarray:
    """Return floating-point data as contiguous patterns, only to be read."""
    return readonly(x).view(pattern_dtype(x.dtype))


@register_jitable
def float_of(pattern: int) -> Any:
    """Return the float32 number of a pattern."""
    return np.int32(pattern).view(np.float32)


@register_jitable
def pattern_of(number: float) -> Any:
    """Return the pattern of a number, rounded to float32, as int32."""
    return np.float32(number).view(np.int32)


def to_pattern(x: Any) -> Any:
    """Return the float32 pattern, int32, of an element that `patterns` has."""
    raise NotImplementedError("compiled code only")


def _as_it_is(x: Any) -> Any:
    return x


def _from_double(x: Any) -> Any:
    return pattern_of(x)


def _from_bfloat16(x: Any) -> Any:
    return np.int32(x) << np.int32(16)


def _from_half(x: Any) -> Any:
    bits = np.int32(x)
    magnitude = bits & np.int32(0x7FFF)
    sign = (bits & np.int32(0x8000)) << np.int32(16)
    wide = magnitude << np.int32(13)
    normal = wide + np.int32((127 - 15) << 23)
    special = wide + np.int32((255 - 31) << 23)
    small = pattern_of(np.float32(magnitude) * np.float32(2.0**-24))
    found = small if magnitude < np.int32(0x0400) else normal
    return sign | (special if magnitude >= np.int32(0x7C00) else found)


def _single(x: Any) -> Any:
    return float_of(to_pattern(x))


_READERS = {
    types.int32: _as_it_is,
    types.float64: _from_double,
    types.int16: _from_bfloat16,
    types.uint16: _from_half,
}


@overload(to_pattern)
def _reader(x: Any) -> Any:
    return _READERS.get(x)


def part_of(data: Any, start: Any, size: Any, buffer: Any) -> Any:
    """Return the patterns of a part of `data`, in the buffer if they must be made."""
    raise NotImplementedError("compiled code only")


def _part_as_it_is(data: Any, start: Any, size: Any, buffer: Any) -> Any:  # noqa: ARG001
    return data[start : start + size]


def _read(data: Any, start: Any, size: Any, buffer: Any) -> Any:
    for i in range(size):
        buffer[i] = to_pattern(data[start + i])
    return buffer


@overload(part_of)
def _part(data: Any, start: Any, size: Any, buffer: Any) -> Any:
    del start, size, buffer
    return _part_as_it_is if data.dtype == types.int32 else _read


def number_of(x: Any) -> Any:
    """Return the number of an element that `patterns` has, to compute with."""
    raise NotImplementedError("compiled code only")


@overload(number_of)
def _number(x: Any) -> Any:
    return _as_it_is if x == types.float64 else _single


def stored(number: Any, like: Any) -> Any:
    """Return a number as an element that `patterns` has, rounded once, half to even."""
    raise NotImplementedError("compiled code only")


def _single_of(number: Any, like: Any) -> Any:  # noqa: ARG001
    return pattern_of(number)


def _double_of(number: Any, like: Any) -> Any:  # noqa: ARG001
    return np.float64(number)


def _bfloat16_of(number: Any, like: Any) -> Any:  # noqa: ARG001
    bits = pattern_of(number)
    odd = (bits >> np.int32(16)) & np.int32(1)
    nearest = (bits + np.int32(0x7FFF) + odd) >> np.int32(16)
    quiet = (bits >> np.int32(16)) | np.int32(0x40)
    return np.int16(quiet if np.isnan(number) else nearest)


def _half_of(number: Any, like: Any) -> Any:  # noqa: ARG001
    bits = pattern_of(number)
    sign = (bits >> np.int32(16)) & np.int32(0x8000)
    magnitude = bits & np.int32(0x7FFFFFFF)
    odd = (magnitude >> np.int32(13)) & np.int32(1)
    rebiased = magnitude - np.int32((127 - 15) << 23)
    normal = (rebiased + np.int32(0xFFF) + odd) >> np.int32(13)
    # Beyond 2**-14 the multiples of 2**-24 are of no use, and none is too large.
    small = min(abs(np.float32(number)), np.float32(1))
    multiple = np.int32(np.rint(small * np.float32(2.0**24)))
    found = multiple if magnitude < np.int32((127 - 14) << 23) else normal
    found = min(found, np.int32(0x7C00))
    found = np.int32(0x7E00) if np.isnan(number) else found
    return np.uint16(sign | found)


_WRITERS = {
    types.int32: _single_of,
    types.float64: _double_of,
    types.int16: _bfloat16_of,
    types.uint16: _half_of,
}


@overload(stored)
def _writer(number: Any, like: Any) -> Any:
    del number
    return _WRITERS.get(like)
