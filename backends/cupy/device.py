"""CuPy's memory, compiler and streams as the launches ask for them."""

from collections.abc import Callable, Sequence
from ctypes import c_double, c_float, c_int32, c_uint32, c_uint64, c_void_p
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cupy
from cupy.cuda import compiler

from qcore.backends.cuda.device import STATIC_SHARED, Argument, Kind, offsets
from qcore.backends.cuda.source import Program
from qcore.kernels import declined

SCALARS = {
    c_double: cupy.float64,
    c_float: cupy.float32,
    c_int32: cupy.int32,
    c_uint32: cupy.uint32,
    c_uint64: cupy.uint64,
    c_void_p: cupy.uint64,
}
"""What CuPy passes on in the size of each type of argument."""


class CupyDevice:
    """A `Device`: all by CuPy, on its current stream."""

    def __init__(self, ordinal: int) -> None:
        self.ordinal = ordinal
        facts = cupy.cuda.Device(ordinal).attributes
        self.multiprocessors = facts["MultiProcessorCount"]
        self.threads = facts["MaxThreadsPerMultiProcessor"]
        self.shared = facts["MaxSharedMemoryPerMultiprocessor"]
        self.shared_of_block = facts["MaxSharedMemoryPerBlockOptin"]

    def empty(self, kind: Kind, /) -> cupy.ndarray:
        """Return an array of any content."""
        shape, dtype = kind
        return cupy.empty(shape, cupy.dtype(dtype))

    def zeros(self, kinds: Sequence[Kind], /) -> list[cupy.ndarray]:
        """Return zeroed arrays in one piece of memory."""
        places, total = offsets(kinds)
        memory = cupy.zeros(total, cupy.uint8)
        return [
            memory[begin:end].view(cupy.dtype(dtype)).reshape(shape)
            for (begin, end), (shape, dtype) in zip(places, kinds, strict=True)
        ]

    def numbers(self, values: tuple[float, ...], /) -> cupy.ndarray:
        """Return float64 numbers, there when this returns."""
        found = cupy.asarray(values, cupy.float64)
        cupy.cuda.get_current_stream().synchronize()
        return found

    def pointer(self, array: cupy.ndarray, /) -> int:
        """Return the address of an array."""
        return int(array.data.ptr)

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
        """Launch a kernel on the current stream."""
        function = _function(self.ordinal, program, kernel)
        scalars = tuple(SCALARS[type(a)](a.value or 0) for a in arguments)
        function((grid,), (block,), scalars, shared_mem=shared)


@cache
def _function(ordinal: int, program: Program, kernel: str) -> Any:
    function = _module(ordinal, program).get_function(kernel)
    facts = cupy.cuda.Device(ordinal).attributes
    room = facts["MaxSharedMemoryPerBlockOptin"]
    if room > STATIC_SHARED:
        function.max_dynamic_shared_size_bytes = room
    return function


@cache
def _module(ordinal: int, program: Program) -> Any:
    """Return the kernels for a device, compiled here: CuPy's way flushes subnormals.

    It appends ``-ftz=true`` to the options of a module that it is given as text; a file
    of machine code it takes as it is.
    """
    image, _ = compiler.compile_using_nvrtc(program.text, program.options)
    path = Path(_folder().name) / f"{ordinal}-{abs(hash(program))}.cubin"
    path.write_bytes(image)
    return cupy.RawModule(path=str(path))


@cache
def _folder() -> TemporaryDirectory[str]:
    """Return a folder that is there as long as modules may be loaded from it."""
    return TemporaryDirectory(prefix="qcore-")


device_of = cache(CupyDevice)


def on_device(function: Callable[..., Any], /, *given: Any, **named: Any) -> Any:
    """Call a function of launches on the device of the first argument, or decline."""
    ordinal = given[0].device.id
    every = (*given, *named.values())
    if any(isinstance(y, cupy.ndarray) and y.device.id != ordinal for y in every):
        return declined("on several devices")
    with cupy.cuda.Device(ordinal):
        options = {name: _contiguous(y) for name, y in named.items()}
        return function(device_of(ordinal), *map(_contiguous, given), **options)


def _contiguous(x: Any) -> Any:
    """Return an array without gaps; 0-d stays 0-d, and what is no array what it is."""
    if isinstance(x, cupy.ndarray) and not x.flags.c_contiguous:
        return cupy.ascontiguousarray(x)
    return x
