"""Compile what would be launched on a GPU, without one, and print what is wrong.

A driver that only names its target stands in for that of CUDA, and launching stops
after compiling. Run as a script, whose arguments are a capability and
``all`` or ``some``.
"""

import json
import re
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import triton
from hard_cases import (
    DTYPES,
    FORMATS,
    KERNELS,
    LAYOUTS,
    case,
    found,
)
from tally_cases import GRIDS, kept, native, rows
from triton.backends.compiler import GPUTarget
from triton.runtime.jit import JITFunction

from qcore import PerTensor
from qcore.backends.torch import triton as natives

# What fuses, approximates or flushes, and what the assembler might yet fuse.
WRONG = re.compile(
    r"\b(?:fma\.\S*f(?:32|64)|div\.(?:full|approx)\S*|rcp\.\S*|\S+\.ftz\S*"
    r"|(?:mul|add|sub)\.f(?:32|64)|\S+\.approx\S*|cvt\.\S*(?:bf16|e4m3|e5m2)\S*)"
)


class Target:
    """Answers what compiling asks a driver."""

    def __init__(self, capability: int) -> None:
        self.capability = capability

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:
        return device

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", self.capability, 32)


def cases(*, everything: bool) -> Iterator[tuple[str, Any]]:
    """Yield names of kernels and their arguments, one for each specialisation."""
    formats = FORMATS if everything else ("int8", "float8_e4m3fn")
    dtypes = DTYPES if everything else ("float32", "bfloat16")
    layouts = LAYOUTS if everything else LAYOUTS[2::6]
    for name in KERNELS:
        for dtype in dtypes:
            for fmt in formats:
                yield name, case((1 << 14,), PerTensor(), fmt, dtype)
        for layout in layouts:
            yield name, case(*layout, "uint8", "float32")


def tally(dtype: str, grid: str, keep: np.ndarray | None) -> None:
    """Start the kernels that count."""
    keep = None if keep is None else torch.from_numpy(keep)
    k = GRIDS[grid](2)
    k = None if k is None else torch.from_numpy(k)
    native()(rows("bell", (2, 8192), dtype), keep, None, 4096, k)


def main(capability: str, amount: str) -> None:
    """Print, as JSON, the wrong instructions of each kernel, and how many there are."""
    triton.runtime.driver.set_active(Target(int(capability)))
    natives._refusal = lambda _: None
    kernels = {}
    launch = JITFunction.run

    def compile_only(self, *args, grid, warmup, **options):
        del warmup
        kernel = launch(self, *args, grid=grid, warmup=True, **options)
        kernels[self.__name__, kernel.hash] = kernel.asm
        return kernel

    JITFunction.run = compile_only
    for name, arguments in cases(everything=amount == "all"):
        found(name, *arguments, "cpu")
    for dtype in DTYPES if amount == "all" else ("float32",):
        for grid in ("unknown", "held"):
            for keep in (None, kept((2, 8192))):
                tally(dtype, grid, keep)
    wrong = {
        f"{name} {number}": sorted(set(WRONG.findall(asm["ptx"])))
        for (name, _), (number, asm) in zip(
            kernels, enumerate(kernels.values()), strict=True
        )
    }
    assert all(asm["cubin"] for asm in kernels.values())
    vectors = sum("ld.global.v4.b32" in asm["ptx"] for asm in kernels.values())
    print(json.dumps({"count": len(kernels), "vectors": vectors, "wrong": wrong}))


if __name__ == "__main__":
    main(*sys.argv[1:])
