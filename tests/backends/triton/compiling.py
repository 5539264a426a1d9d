"""Compile what would be launched on a GPU, without one, and tell what is wrong.

A driver that only names its target stands in for that of CUDA, and launching stops
after compiling.
"""

import re

import triton
from triton.backends.compiler import GPUTarget
from triton.runtime.jit import JITFunction

from qcore.backends.torch import refusal

WRONG = re.compile(
    r"\b(?:fma\.\S*f(?:32|64)|div\.(?:full|approx)\S*|rcp\.\S*|\S+\.ftz\S*"
    r"|(?:mul|add|sub)\.f(?:32|64)|\S+\.approx\S*|cvt\.\S*(?:bf16|e4m3|e5m2)\S*)"
)
"""What fuses, approximates or flushes, and what the assembler might yet fuse."""


class Target:
    """Answers what compiling asks a driver."""

    def __init__(self, capability):
        self.capability = capability

    def get_current_device(self):
        return self.capability  # compiled kernels are remembered by device

    def get_current_stream(self, device):
        return device

    def get_current_target(self):
        return GPUTarget("cuda", self.capability, 32)


class Compiler:
    """In place of launching: `kernels` has the assemblies by name and hash."""

    def __init__(self):
        self.kernels = {}
        refusal.INTERPRETED = True  # so that tensors of the CPU are served
        launching = JITFunction.run

        def compile_only(kernel, *args, grid, warmup, **options):
            del warmup
            assert 0 < grid[0] < 2**31
            assert all(n < 2**16 for n in grid[1:])
            found = launching(kernel, *args, grid=grid, warmup=True, **options)
            self.kernels[kernel.__name__, found.hash] = found.asm
            return found

        JITFunction.run = compile_only

    def collected(self, capabilities, start):
        """Return the kernels of what `start` starts, for each of some capabilities."""
        self.kernels = {}
        for capability in capabilities:
            self.aim(capability)
            start()
        return self.kernels

    def aim(self, capability):
        """Compile for a capability from now on."""
        triton.runtime.driver.set_active(Target(int(capability)))


def faults(kernels):
    """Return the wrong instructions of the kernels that have some."""
    assert all(asm["cubin"] for asm in kernels.values())
    found = {}
    for (name, _), asm in kernels.items():
        wrong = set(WRONG.findall(asm["ptx"]))
        if wrong:
            found[name] = sorted(wrong | set(found.get(name, ())))
    return found
