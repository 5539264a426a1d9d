"""PyTorch: searches and whole methods on a GPU, where Triton is installed.

Triton is imported by the first call with a tensor that its kernels serve.
"""

from functools import cache
from importlib import import_module
from typing import Any

import torch

from qcore.backends.torch import search_solve
from qcore.backends.torch.library import NAME
from qcore.backends.torch.refusal import refusal
from qcore.formats import Format
from qcore.methods.balance import is_balanced
from qcore.methods.divergence import divergence, merged_information
from qcore.methods.mse import best_split
from qcore.methods.range_search import search_ranges
from qcore.methods.registry import Method
from qcore.methods.solve import solve
from qcore.methods.step_search import search_affine, search_symmetric
from qcore.spec import QuantSpec
from qcore.statistics import Statistics


@cache
def _module(name: str) -> Any:
    return import_module(f"qcore.backends.triton.search_{name}")


def _found(module: str, name: str, *arguments: Any, **options: Any) -> Any:
    """Return what a search by Triton finds, or why it is not asked."""
    refused = refusal(*arguments, *options.values())
    return refused or getattr(_module(module), name)(*arguments, **options)


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


@search_symmetric.accelerate(NAME)
def _(
    counts: torch.Tensor, steps: torch.Tensor, allowed: torch.Tensor, fmt: Format, /
) -> Any:
    return _found("error", "search_symmetric", counts, steps, allowed, fmt)


@search_affine.accelerate(NAME)
def _(
    counts: torch.Tensor, steps: torch.Tensor, allowed: torch.Tensor, codes: int, /
) -> Any:
    return _found("error", "search_affine", counts, steps, allowed, codes)


@search_ranges.accelerate(NAME)
def _(
    counts: torch.Tensor,
    steps: torch.Tensor,
    below: torch.Tensor,
    allowed: torch.Tensor,
    codes: int,
    /,
) -> Any:
    return _found("error", "search_ranges", counts, steps, below, allowed, codes)


@best_split.accelerate(NAME)
def _(
    counts: torch.Tensor,
    step: torch.Tensor,
    reach: torch.Tensor,
    noise: torch.Tensor,
    codes: int,
    /,
) -> Any:
    return _found("error", "best_split", counts, step, reach, noise, codes)


@is_balanced.accelerate(NAME)
def _(
    counts: torch.Tensor, below: torch.Tensor, above: torch.Tensor, spec: QuantSpec, /
) -> Any:
    return _found("balance", "is_balanced", counts, below, above, spec)


@merged_information.accelerate(NAME)
def _(
    line: torch.Tensor,
    first: torch.Tensor,
    last: torch.Tensor,
    allowed: torch.Tensor,
    cells: tuple[float, ...],
    /,
) -> Any:
    return _found("entropy", "merged_information", line, first, last, allowed, cells)


@divergence.accelerate(NAME)
def _(
    line: torch.Tensor,
    first: torch.Tensor,
    last: torch.Tensor,
    allowed: torch.Tensor,
    /,
    *,
    beside: torch.Tensor,
    cells: tuple[float, ...],
) -> Any:
    return _found(
        "entropy", "divergence", line, first, last, allowed, beside=beside, cells=cells
    )
