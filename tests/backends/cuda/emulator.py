"""A device that is g++ and NumPy: kernels run on the CPU, thread after thread."""

import ctypes
import os
import re
import subprocess
from functools import cache
from hashlib import sha256
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

import ml_dtypes
import numpy as np

from qcore.backends.cuda.device import offsets, pack

SHIM = Path(__file__).with_name("shim.h")
FLAGS = ("-O1", "-std=c++20", "-shared", "-fPIC", "-pthread", "-ffp-contract=off", "-w")
KERNEL = re.compile(
    r"^(?:(?:TALLY|ROUND)\("
    r'|extern "C" __global__ void (?:__launch_bounds__\(.*?\) )?)'
    r"(\w+)[,(]",
    re.MULTILINE,
)
CANARY = 0xA5


def kernels_of(text):
    return KERNEL.findall(text)


@cache
def built(program, flags=FLAGS):
    """Return the library of a program, built by g++ once for all runs."""
    names = kernels_of(program.text)
    launches = "".join(
        f'extern "C" void launch_{n}(unsigned g, unsigned b, unsigned s, void** a) '
        f"{{ launch_kernel({n}, g, b, s, a); }}\n"
        f'extern "C" unsigned sizes_{n}(unsigned* s) {{ return sizes_of({n}, s); }}\n'
        for n in names
    )
    source = f'#include "{SHIM}"\n{program.text}\n{launches}'
    options = [*flags, *(f"-D{macro}" for macro in program.macros)]
    key = sha256(repr((source, options, SHIM.read_text())).encode()).hexdigest()
    out = Path(gettempdir()) / f"qcore-kernels-{os.getuid()}" / f"{key[:32]}.so"
    if not out.exists():
        out.parent.mkdir(mode=0o700, exist_ok=True)
        with TemporaryDirectory(dir=out.parent) as folder:
            text, library = Path(folder) / "kernels.cpp", Path(folder) / "kernels.so"
            text.write_text(source)
            subprocess.run(["g++", *options, "-o", library, text], check=True)
            library.replace(out)  # at once, as others may be building it
    return ctypes.CDLL(str(out))


class Emulator:
    """A `Device` of any size; it checks what a GPU would not tell."""

    def __init__(self, multiprocessors=2, shared=100 * 1024, flags=FLAGS):
        self.multiprocessors = multiprocessors
        self.threads = 2048
        self.shared = shared
        self.shared_of_block = shared - 1024
        self.flags = flags
        self.guards = []
        self.launched = []

    def empty(self, kind):
        shape, dtype = kind
        size = prod(shape) * np.dtype(dtype_of(dtype)).itemsize
        whole = np.full(size + 512, CANARY, np.uint8)
        start = -whole.ctypes.data % 256
        self.guards += [whole[:start], whole[start + size :]]
        return whole[start : start + size].view(dtype_of(dtype)).reshape(shape)

    def zeros(self, kinds):
        places, total = offsets(kinds)
        memory = self.empty(((total,), "uint8"))
        memory[:] = CANARY
        arrays = []
        for (begin, end), (shape, dtype) in zip(places, kinds, strict=True):
            memory[begin:end] = 0
            self.guards.append(memory[end : -(-end // 256) * 256])
            arrays.append(memory[begin:end].view(dtype_of(dtype)).reshape(shape))
        return arrays

    def numbers(self, values):
        return np.array(values, np.float64)

    def pointer(self, array):
        return array.ctypes.data

    def launch(self, program, kernel, grid, block, shared, arguments):
        assert 0 < grid < 2**31
        assert block <= 1024
        assert shared <= self.shared_of_block
        library = built(program, self.flags)
        sizes = (ctypes.c_uint * 64)()
        count = getattr(library, f"sizes_{kernel}")(sizes)
        assert [ctypes.sizeof(a) for a in arguments] == list(sizes[:count])
        self.launched.append(kernel)
        pointers, at = pack(arguments)
        launch = getattr(library, f"launch_{kernel}")
        launch(grid, block, shared, ctypes.c_void_p(at))
        del pointers
        assert all((guard == CANARY).all() for guard in self.guards)


def dtype_of(name):
    return ml_dtypes.bfloat16 if name == "bfloat16" else np.dtype(name)
