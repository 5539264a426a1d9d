"""Compile the searches, and print which kernels that are and what is wrong with them.

For one test, in a process of its own; `main` takes which capabilities ``all`` and
``some`` are compiled for.
"""

import json
from functools import partial

import torch

import qcore
from qcore.methods import divergence
from tests.backends.triton.compiling import Compiler, faults

SIZES = (1, 2), (1, 2048), (3, 2048), (16, 100)
"""Rows and bins: numbers that are one or multiples of 16 are known when compiling."""
FORMATS = "int2", "int8", "uint8", "float8_e4m3fn", "int16"


SOME = (
    ("mse", "int4", False),
    ("mse", "int4", True),
    ("mse", "int16", True),
    ("hfmg", "int16", True),
    ("entropy", "float4_e2m1fn", True),
)
"""Methods, formats and symmetries that start each of the kernels."""


def histogram(rows: int, bins: int) -> qcore.Histogram:
    """Return one of normal rows."""
    x = torch.randn((rows, 1000), generator=torch.manual_seed(rows))
    return qcore.Histogram.of(x, bins=bins, granularity=qcore.PerChannel(0))


def start_methods(h: qcore.Histogram, formats: tuple[str, ...]) -> None:
    """Start what whole methods do."""
    for name in formats:
        for symmetric in (True, False) if "int" in name else (True,):
            spec = qcore.QuantSpec(name, symmetric=symmetric)
            for method in ("entropy", "mse", "hfmg"):
                qcore.compute_range(h, spec, method)
            for stride in (1, 10**6):
                qcore.compute_range(h, spec, "mse", stride=stride)
                qcore.compute_range(h, spec, "entropy", stride=stride, start_bin=2)


def start_entropy() -> None:
    """Start what no method does, one window of every channel or of each."""
    line, one = torch.ones((16, 99), dtype=torch.int64), torch.ones((16, 1)).bool()
    edge = torch.ones((1, 1), dtype=torch.int64)
    for last in (edge, edge.expand(16, 1)):
        for cells in ((0.0, 0.5, 1.0), (0.0, 0.3, 1.0)):
            divergence.merged_information(
                line, 0 * edge, last, one, cells, xp=qcore.libraries.namespace(line)
            )


def start_all(histograms: list[qcore.Histogram]) -> None:
    """Start each kernel in each specialisation."""
    for h in histograms:
        start_methods(h, FORMATS)
    start_entropy()


def start_some(h: qcore.Histogram) -> None:
    """Start each kernel."""
    for method, name, symmetric in SOME:
        qcore.compute_range(h, qcore.QuantSpec(name, symmetric=symmetric), method)


def narrow(kernels: dict[tuple[str, str], dict[str, str]]) -> set[str]:
    """Return what has float32 numbers, as where one is written in the program."""
    return {
        name
        for (name, _), asm in kernels.items()
        if ".f32" in asm["ptx"].replace("cvt.f64.f32", "")
    }


def main(capabilities: dict[str, list[str]]) -> None:
    """Print, as JSON, names, wrong instructions, and what has float32 numbers."""
    few, every = histogram(3, 100), [histogram(*size) for size in SIZES]
    starts = {"all": partial(start_all, every), "some": partial(start_some, few)}
    compiler, found = Compiler(), {}  # from here on nothing is counted either
    for amount, chosen in capabilities.items():
        kernels = compiler.collected(chosen, starts[amount])
        found[amount] = {
            "names": sorted({name for name, _ in kernels}),
            "narrow": sorted(narrow(kernels)),
            "wrong": faults(kernels),
        }
    print(json.dumps(found))
