"""Arrays as they lie in memory, in the one form that compiled functions are given."""

from math import prod
from typing import NamedTuple

import numpy as np

ALIGNMENT = 64
"""Bytes: JAX takes over memory that is aligned so, and copies other."""
LARGE = 1 << 16
"""Bytes worth the microsecond that it takes to align them."""


def readonly(x: np.ndarray, dtype: type | None = None) -> np.ndarray:
    """Return contiguous aligned memory that cannot be written to: a view or a copy.

    Some libraries lend their arrays in this form alone, and each form is compiled for.
    """
    x = np.ascontiguousarray(x, dtype=dtype)
    view: np.ndarray = (x if x.flags.aligned else x.copy()).view()
    view.flags.writeable = False
    return view


def empty(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Return new memory, aligned if it is large."""
    size = prod(shape) * dtype.itemsize
    if size < LARGE:
        return np.empty(shape, dtype)
    raw = np.empty(size + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + size].view(dtype).reshape(shape)


class Memory(NamedTuple):
    """An array as it lies in memory, and the order of the axes there.

    ``None`` where the order is that of the array.
    """

    data: np.ndarray
    order: tuple[int, ...] | None

    def restored(self, x: np.ndarray) -> np.ndarray:
        """Return such memory with the axes of the array."""
        x = x.reshape(self.data.shape)
        return x if self.order is None else x.transpose(np.argsort(self.order))


def in_memory(x: np.ndarray) -> Memory:
    """Return an array with its axes in the order of memory, copied if it has gaps."""
    if x.flags.c_contiguous:
        return Memory(x, None)
    order = tuple(sorted(range(x.ndim), key=lambda axis: -x.strides[axis]))
    dense = x.transpose(order)
    if dense.flags.c_contiguous:
        return Memory(dense, order)
    return Memory(np.ascontiguousarray(x), None)
