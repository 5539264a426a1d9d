"""What the launches ask of a library."""

from collections.abc import Sequence
from ctypes import (
    addressof,
    c_double,
    c_float,
    c_int32,
    c_uint32,
    c_uint64,
    c_void_p,
)
from math import prod
from typing import Any, Protocol, TypeAlias

from qcore.backends.cuda.source import Program

Array: TypeAlias = Any
Argument: TypeAlias = c_double | c_float | c_int32 | c_uint32 | c_uint64 | c_void_p
Kind: TypeAlias = tuple[tuple[int, ...], str]
"""Shape and dtype of an array to be made."""

MOST_BLOCKS = 2**31 - 1
STATIC_SHARED = 48 * 1024
"""Bytes of shared memory that a kernel may have without asking."""
ALIGNMENT = 256
"""Bytes; what the allocators of all libraries give, and more than any load needs."""

SIZES = {
    "uint8": 1,
    "int8": 1,
    "int16": 2,
    "uint16": 2,
    "float16": 2,
    "bfloat16": 2,
    "int32": 4,
    "float32": 4,
    "int64": 8,
    "float64": 8,
}
"""Bytes of an element."""


class Device(Protocol):
    """A GPU in the hands of a library, whose arrays live there.

    Attributes
    ----------
    multiprocessors : int
        How many there are.
    threads : int
        That a multiprocessor holds at once.
    shared : int
        Bytes of shared memory that a multiprocessor has.
    shared_of_block : int
        Bytes of it that a block may ask for.
    """

    multiprocessors: int
    threads: int
    shared: int
    shared_of_block: int

    def __hash__(self) -> int:
        """Tell devices apart."""

    def empty(self, kind: Kind, /) -> Array:
        """Return an array of any content, aligned."""

    def zeros(self, kinds: Sequence[Kind], /) -> list[Array]:
        """Return zeroed arrays, parts of one piece of memory at multiples of 256 bytes.

        What is of dtype ``"uint32"`` may have any dtype of that size.
        """

    def numbers(self, values: tuple[float, ...], /) -> Array:
        """Return float64 numbers in memory, for launches on any stream."""

    def pointer(self, array: Array, /) -> int:
        """Return the address of an array's first element."""

    def launch(
        self,
        program: Program,
        kernel: str,
        grid: int,
        block: int,
        shared: int,
        arguments: Sequence[Argument],
        /,
    ) -> None:
        """Launch a kernel on the library's current stream."""


def pack(arguments: Sequence[Argument]) -> tuple[Any, int]:
    """Return pointers to the arguments, to be kept alive, and the address of those."""
    pointers = (c_void_p * len(arguments))(*(addressof(a) for a in arguments))
    return pointers, addressof(pointers)


def address(device: Device, array: Array | None) -> c_void_p:
    """Return the address of an array as an argument, null of none."""
    return c_void_p(None if array is None else device.pointer(array))


def offsets(kinds: Sequence[Kind]) -> tuple[list[tuple[int, int]], int]:
    """Return where each of several arrays begins and ends in bytes, and their total."""
    places, total = [], 0
    for shape, dtype in kinds:
        size = prod(shape) * SIZES["int32" if dtype == "uint32" else dtype]
        places.append((total, total + size))
        total += -(-size // ALIGNMENT) * ALIGNMENT
    return places, total
