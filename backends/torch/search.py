"""PyTorch: searches and whole methods on a GPU, where Triton is installed.

Triton is imported by the first call with a tensor that its kernels serve.
"""

from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any

import torch

from qcore.backends.torch import search_solve
from qcore.backends.torch.library import NAME
from qcore.backends.torch.refusal import refusal
from qcore.kernels import Kernel
from qcore.methods.balance import is_balanced
from qcore.methods.divergence import divergence, merged_information
from qcore.methods.mse import best_split
from qcore.methods.range_search import search_ranges
from qcore.methods.registry import Method
from qcore.methods.solve import solve
from qcore.methods.step_search import search_affine, search_symmetric
from qcore.spec import QuantSpec
from qcore.statistics import Statistics

SERVED: tuple[tuple[str, tuple[Kernel, ...]], ...] = (
    ("error", (search_symmetric, search_affine, search_ranges, best_split)),
    ("balance", (is_balanced,)),
    ("entropy", (merged_information, divergence)),
)
"""Searches, by the module that has functions of their names."""


@cache
def _module(name: str) -> Any:
    return import_module(f"qcore.backends.triton.search_{name}")


@solve.accelerate(NAME)
def _(
    low: torch.Tensor,
    statistics: Statistics,
    spec: QuantSpec,
    method: Method,
    options: tuple[tuple[str, Any], ...],
    /,
) -> Any:
    state = (getattr(statistics, name) for name in statistics.array_fields())
    refused = refusal(low, *state)
    return refused or search_solve.solve(low, statistics, spec, method, options)


def _by_triton(module: str, name: str) -> Callable[..., Any]:
    """Return what gives Triton's answer, or why it is not asked."""

    def native(*arguments: Any, **options: Any) -> Any:
        refused = refusal(*arguments, *options.values())
        return refused or getattr(_module(module), name)(*arguments, **options)

    return native


for module, kernels in SERVED:
    for kernel in kernels:
        kernel.accelerate(NAME)(_by_triton(module, kernel.reference.__name__))
