"""The searches by Triton compile for GPUs of every generation, where there is none."""

import os
import subprocess
import sys

import pytest

pytest.importorskip("triton")
pytest.importorskip("torch")

PROGRAM = """
import sys
import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.runtime.jit import JITFunction

import qcore
from qcore.methods import divergence


class Target:
    def get_current_device(self):
        return 0

    def get_current_stream(self, device):
        return device

    def get_current_target(self):
        return GPUTarget("cuda", int(sys.argv[1]), 32)


triton.runtime.driver.set_active(Target())
assemblies = {}
run = JITFunction.run


def compile_only(self, *arguments, grid, warmup, **options):
    assert all(0 < n < 2**31 for n in grid[:1]) and all(n < 2**16 for n in grid[1:])
    kernel = run(self, *arguments, grid=grid, warmup=True, **options)
    assemblies.setdefault(self.__name__, {})[kernel.hash] = kernel.asm


JITFunction.run = compile_only
qcore.Histogram.of(torch.ones(1))  # loads the natives
from qcore.backends.torch import search
search._serves = lambda x: True

for rows, bins in ((1, 2), (1, 2048), (3, 2048), (16, 100)):
    x = torch.randn((rows, 1000), generator=torch.manual_seed(rows))
    h = qcore.Histogram.of(x, bins=bins, granularity=qcore.PerChannel(0))
    for name in ("int2", "int8", "uint8", "float8_e4m3fn", "int16"):
        for symmetric in (True, False) if "int" in name else (True,):
            spec = qcore.QuantSpec(name, symmetric=symmetric)
            for method in ("entropy", "mse", "hfmg"):
                qcore.compute_range(h, spec, method)
            for stride in (1, 10**6):
                qcore.compute_range(h, spec, "mse", stride=stride)
                qcore.compute_range(h, spec, "entropy", stride=stride, start_bin=2)
line, one = h.counts[:, 0, :], torch.ones((16, 1), dtype=torch.bool)
edge = torch.ones((1, 1), dtype=torch.int64)
for last in (edge, edge.expand(16, 1)):
    for cells in ((0.0, 0.5, 1.0), (0.0, 0.3, 1.0)):
        divergence.merged_information(
            line, 0 * edge, last, one, cells, xp=qcore.libraries.namespace(line)
        )
for kernels in assemblies.values():
    for assembly in kernels.values():
        assert assembly["cubin"]
        # Numbers would be float32 where one of them is written in the program.
        assert ".f32" not in assembly["ptx"].replace("cvt.f64.f32", "")
print(*sorted(assemblies))
"""
KERNELS = (
    "add_gain affine_gain compare diverge "
    "fill_sums fill_tails find_below fine_errors score"
)


@pytest.mark.slow
@pytest.mark.parametrize("capability", [75, 80, 89, 90, 100, 120])
def test_kernels_compile_in_double_precision(capability, tmp_path):
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    environment["TRITON_CACHE_DIR"] = str(tmp_path)
    run = [sys.executable, "-P", "-c", PROGRAM, str(capability)]
    done = subprocess.run(
        run, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == KERNELS.split()
