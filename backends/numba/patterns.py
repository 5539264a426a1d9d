"""Data as bit patterns, whose dtype tells compiled code what they are.

numba has no 16-bit floats, and a library may hand out bfloat16 as a dtype that NumPy
does not know.
"""

from typing import Any

import numpy as np
from numba import types
from numba.extending import overload, register_jitable

PATTERNS: dict[str, type] = {
    "float16": np.uint16,
    "bfloat16": np.int16,
    "float32": np.int32,
    "float64": np.float64,
}
"""The dtype under which compiled code sees each dtype of data."""


class _Alias:
    """Memory under another flag, as code is compiled apart for read-only arrays."""

    def __init__(self, x: np.ndarray) -> None:
        self.owner = x
        pointer = x.__array_interface__["data"][0]
        self.__array_interface__ = {**x.__array_interface__, "data": (pointer, False)}


def readable(x: np.ndarray) -> np.ndarray:
    """Return contiguous memory for compiled code that only reads it."""
    x = np.ascontiguousarray(x)
    return x if x.flags.writeable else np.asarray(_Alias(x))


def patterns(x: np.ndarray) -> np.ndarray:
    """Return floating-point data as contiguous patterns, only to be read."""
    return readable(np.ascontiguousarray(x).view(PATTERNS[x.dtype.name]))


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


def _from_single(x: Any) -> Any:
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


_READERS = {
    types.int32: _from_single,
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


def _as_it_is(data: Any, start: Any, size: Any, buffer: Any) -> Any:  # noqa: ARG001
    return data[start : start + size]


def _read(data: Any, start: Any, size: Any, buffer: Any) -> Any:
    for i in range(size):
        buffer[i] = to_pattern(data[start + i])
    return buffer


@overload(part_of)
def _part(data: Any, start: Any, size: Any, buffer: Any) -> Any:
    del start, size, buffer
    return _as_it_is if data.dtype == types.int32 else _read
