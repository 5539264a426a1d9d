"""Compile what would be launched on a GPU, without one, and print what is wrong.

A driver that only names its target stands in for that of CUDA, and launching stops
after compiling. Run as a script, whose arguments are a capability and
``all`` or ``some``.
"""

import json
import re
import sys

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
from tally_cases import GRIDS, SHAPES, grids, kept, native, rows
from triton.backends.compiler import GPUTarget
from triton.runtime.jit import JITFunction

from qcore import PerTensor
from qcore.backends.torch import triton as natives
from qcore.backends.triton import gradient, launch, quantize, tally
from qcore.backends.triton.layout import Layout
from qcore.statistics.tally import regrid

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


def start_rounding(*, everything: bool) -> None:
    """Start what rounds, in each specialisation."""
    formats = FORMATS if everything else ("int8", "float8_e4m3fn")
    dtypes = DTYPES if everything else ("float32", "bfloat16")
    for name in KERNELS:
        for dtype in dtypes:
            for fmt in formats:
                found(name, *case((1 << 14,), PerTensor(), fmt, dtype), "cpu")
        for shape, granularity in LAYOUTS if everything else LAYOUTS[2::6]:
            found(name, *case(shape, granularity, "uint8", "float32"), "cpu")


def start_counting(*, everything: bool) -> None:
    """Start what counts."""
    for dtype in DTYPES if everything else ("float32",):
        for grid in ("unknown", "held"):
            for mask in (None, torch.from_numpy(kept((2, 8192)))):
                k = GRIDS[grid](2)
                k = None if k is None else torch.from_numpy(k)
                native()(rows("bell", (2, 8192), dtype), mask, None, 4096, k)
    for shape in SHAPES:
        native()(rows("bell", shape), None, None, 64, None)
    for slots in (64, 4096):
        native(regrid)(*map(torch.from_numpy, grids(slots)))


def start_huge() -> None:
    """Start what rounds more elements than 32 bits count; none of them is there."""
    size = 1 << 33
    layout = Layout(True, 1, size, size, 1, 1)
    x, scale, zero, spec = case((16,), PerTensor(), "int8", "float32")
    scale, zero = torch.from_numpy(scale), torch.from_numpy(zero)
    quantize.fake_quantize(x, scale, zero, spec.format, layout)
    gradient.fake_quantize_gradient(x, x, scale, zero, spec.format, layout)


def main(capability: str, amount: str) -> None:
    """Print, as JSON, the wrong instructions of each kernel, and how many there are."""
    triton.runtime.driver.set_active(Target(int(capability)))
    natives._refusal = lambda _: None
    kernels = {}
    launching = JITFunction.run

    def compile_only(self, *args, grid, warmup, **options):
        del warmup
        kernel = launching(self, *args, grid=grid, warmup=True, **options)
        kernels[self.__name__, kernel.hash] = kernel.asm
        return kernel

    JITFunction.run = compile_only
    everything = amount == "all"
    start_rounding(everything=everything)
    start_counting(everything=everything)
    start_huge()
    launch.WIDE = tally.WIDE = 1
    start_rounding(everything=False)
    start_counting(everything=False)
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
