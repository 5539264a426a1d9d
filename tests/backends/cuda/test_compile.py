"""NVRTC takes the kernels for every architecture, and no module needs a GPU to load."""

import re
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec

import pytest

from qcore.backends.cuda import (
    entropy,
    errors,
    gradient,
    regrid,
    rounding,
    search,
    tally,
)
from qcore.backends.cuda.source import FOLDER
from qcore.formats import parse_format
from tests.backends.hard import DTYPES

ALL_COMPILE_FOR = 90
OTHERS = (75, 80, 89, 100, 120)


def programs():
    """Return all programs that a launch may ask for."""
    yield regrid.PROGRAM
    yield errors.program()
    yield entropy.program()
    yield search.program()
    for dtype in DTYPES:
        for table in (tally.IN_SHARED, tally.IN_GLOBAL, tally.WEIGHTED):
            for has_mask in (False, True):
                yield tally.program(dtype, table, has_mask)
        for name in ("int8", "int16", "float8_e4m3fn"):
            yield rounding.program(dtype, parse_format(name))
            yield gradient.program(dtype, parse_format(name))


PROGRAMS = {" ".join((p.files[-1], *p.macros)): p for p in programs()}


def compiled(program, capability):
    """Return machine code, or skip where there is no NVRTC that makes it."""
    pytest.importorskip("cuda.bindings", reason="cuda-bindings is not installed")
    driver = import_module("qcore.backends.cuda.driver")
    try:
        _, known = driver.nvrtc.nvrtcGetSupportedArchs()
    except RuntimeError as error:
        pytest.skip(f"NVRTC is not installed: {error}")
    if capability not in known:
        pytest.skip(f"this NVRTC does not know {capability}")
    return driver.compiled(program, capability)


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_every_variant_compiles(program):
    assert compiled(program, ALL_COMPILE_FOR).startswith(b"\x7fELF")


@pytest.mark.parametrize("capability", OTHERS)
@pytest.mark.parametrize(
    "program",
    # Of each file one, which is compiled above for the sixth architecture.
    [
        regrid.PROGRAM,
        errors.program(),
        entropy.program(),
        search.program(),
        tally.program("float16", tally.IN_SHARED, False),
        rounding.program("float16", parse_format("float8_e4m3fn")),
        gradient.program("float64", parse_format("int8")),
    ],
    ids=lambda program: program.files[-1],
)
def test_every_architecture_is_compiled_for(program, capability):
    assert compiled(program, capability).startswith(b"\x7fELF")


def test_every_file_of_kernels_is_part_of_a_program():
    used = {name for program in PROGRAMS.values() for name in program.files}
    assert used == {path.name for path in FOLDER.glob("*.cu")}


def test_arithmetic_is_neither_fused_nor_flushed():
    for program in PROGRAMS.values():
        assert {"--fmad=false", "--ftz=false"} <= set(program.options)
        assert not re.search(r"fast_math|__fdividef|\bfmaf?\(", program.text)


@pytest.mark.parametrize(
    ("module", "needs"),
    [
        ("qcore.backends.cuda.tally", ()),
        ("qcore.backends.cuda.driver", ("cuda.bindings",)),
        ("qcore.backends.torch.cuda", ("torch", "cuda.bindings")),
        ("qcore.backends.cupy", ("cupy",)),
        ("qcore.backends.jax.cuda", ("jax", "cupy")),
    ],
)
def test_a_module_loads_without_a_gpu(module, needs):
    for name in needs:
        if find_spec(name.partition(".")[0]) is None:
            pytest.skip(f"{name} is not installed")
    code = f"import {module}"
    subprocess.run([sys.executable, "-P", "-c", code], check=True)
