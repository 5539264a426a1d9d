"""Compile the kernels that count and round, and print what is wrong with them.

For one test, in a process of its own; `main` takes which capabilities ``all`` and
``some`` are compiled for.
"""

import json
from functools import partial

import torch

from qcore import PerTensor
from qcore.backends.triton import gradient, launch, quantize, tally
from qcore.backends.triton.layout import Layout
from qcore.statistics.tally import regrid
from tests.backends.hard import DTYPES, FORMATS
from tests.backends.triton.compiling import Compiler, faults
from tests.backends.triton.rounding_cases import KERNELS, LAYOUTS, case, found
from tests.backends.triton.tally_cases import (
    GRIDS,
    SHAPES,
    grids,
    kept,
    native,
    rows,
)


def start_rounding(*, everything: bool) -> None:
    """Start what rounds, in each specialisation."""
    some = "int8", "float8_e4m3fn"
    dtypes = DTYPES if everything else ("float32", "bfloat16")
    for name in KERNELS:
        for dtype in dtypes:
            for fmt in FORMATS if everything and dtype == "float32" else some:
                found(name, *case((1 << 14,), PerTensor(), fmt, dtype), "cpu")
        for shape, granularity in LAYOUTS if everything else LAYOUTS[2::6]:
            found(name, *case(shape, granularity, "uint8", "float32"), "cpu")


def start_counting(*, everything: bool) -> None:
    """Start what counts."""
    for dtype in DTYPES if everything else ("float32",):
        for grid in ("unknown", "held"):
            masks = None, torch.from_numpy(kept((2, 8192)))
            for mask in masks if everything else masks[:1]:
                k = GRIDS[grid](2)
                k = None if k is None else torch.from_numpy(k)
                native()(rows("bell", (2, 8192), dtype), mask, None, 4096, k)
    for shape in SHAPES if everything else SHAPES[:1]:
        native()(rows("bell", shape), None, None, 64, None)
    for slots in (64, 4096) if everything else (64,):
        native(regrid)(*map(torch.from_numpy, grids(slots)))


def start_huge() -> None:
    """Start what rounds more elements than 32 bits count; none of them is there."""
    size = 1 << 33
    layout = Layout(True, 1, size, size, 1, 1)
    x, scale, zero, spec = case((16,), PerTensor(), "int8", "float32")
    scale, zero = torch.from_numpy(scale), torch.from_numpy(zero)
    quantize.rounded(x, scale, zero, spec.format, layout, is_coded=False)
    gradient.fake_quantize_gradient(x, x, scale, zero, spec.format, layout)


def start(*, everything: bool) -> None:
    """Start each kernel; all specialisations, or those that targets may differ in."""
    widths = launch.WIDE, tally.WIDE
    start_rounding(everything=everything)
    start_counting(everything=everything)
    if everything:
        start_huge()
        launch.WIDE = tally.WIDE = 1
        start_rounding(everything=False)
        start_counting(everything=False)
    launch.WIDE, tally.WIDE = widths


def main(capabilities: dict[str, list[str]]) -> None:
    """Print, as JSON, the wrong instructions of kernels, and how many these are."""
    compiler, found = Compiler(), {}
    for amount, chosen in capabilities.items():
        kernels = compiler.collected(chosen, partial(start, everything=amount == "all"))
        vectors = sum("ld.global.v4.b32" in asm["ptx"] for asm in kernels.values())
        found[amount] = {
            "count": len(kernels),
            "vectors": vectors,
            "wrong": faults(kernels),
        }
    print(json.dumps(found))
