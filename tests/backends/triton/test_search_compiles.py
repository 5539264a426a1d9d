"""The searches by Triton compile for GPUs of every generation, where there is none."""

import os
import subprocess
import sys

import pytest

pytest.importorskip("triton")

PROGRAM = """
import sys
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from qcore.backends.triton import search_density, search_entropy, search_fine
from qcore.backends.triton import search_gain

REALS, WHOLES, NUMBERS = "*fp64", "*i64", "i32"
TYPES = {
    "filled_ptr": "*i32",
    "allowed_ptr": "*u8",
    "balanced_ptr": "*u8",
    **dict.fromkeys(
        ("counts_ptr", "line_ptr", "first_ptr", "last_ptr", "beside_ptr"), WHOLES
    ),
}
BOTH = (True, False)
ONE = {"steps_stride": 1, "candidates": 1, "block": 512}
KERNELS = [
    (search_density.fill_tails, [{"is_joint": j, "block": 1024} for j in BOTH]),
    (search_gain.add_gain, [{"block": 512}, {"block": 512, "codes": 1}, ONE]),
    (search_gain.find_below, [{"block": 512}, {**ONE, "highest": 1, "codes": 1}]),
    (search_gain.affine_gain, [{"block": 512}, {**ONE, "codes": 1}]),
    (search_fine.fine_errors, [{"block": 512}, ONE]),
    (search_fine.compare, [{"has_errors": e, "block": 512} for e in BOTH]),
    (search_entropy.fill_sums, [{"block": 1024}]),
    (
        search_entropy.score,
        [
            {"is_even": e, "is_divergence": d, "block": 256, **more}
            for e in BOTH
            for d in BOTH
            for more in ({}, {"windows": 1, "first_stride": 1, "last_stride": 1})
        ],
    ),
]
for kernel, choices in KERNELS:
    for constants in choices:
        signature = {
            name: "constexpr"
            if name in constants
            else TYPES.get(name, REALS if name.endswith("_ptr") else NUMBERS)
            for name in kernel.arg_names
        }
        source = ASTSource(fn=kernel, signature=signature, constexprs=constants)
        options = {"num_warps": 4, "enable_fp_fusion": False}
        target = GPUTarget("cuda", int(sys.argv[1]), 32)
        assembly = triton.compile(source, target=target, options=options).asm
        assert assembly["cubin"]
        assert ".f32" not in assembly["ptx"].replace("cvt.f64.f32", ""), kernel
"""


@pytest.mark.parametrize("capability", [75, 80, 89, 90, 100, 120])
def test_kernels_compile_in_double_precision(capability, tmp_path):
    environment = {**os.environ, "TRITON_CACHE_DIR": str(tmp_path)}
    environment.pop("TRITON_INTERPRET", None)
    run = [sys.executable, "-P", "-c", PROGRAM, str(capability)]
    done = subprocess.run(
        run, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
