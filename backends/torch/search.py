"""PyTorch: searches and whole methods on a GPU, where Triton is installed.

Triton is imported by the first call with a tensor that its kernels serve.
"""

import os
from functools import cache
from importlib import import_module
from typing import Any

import torch

from qcore.backends.torch import search_solve
from qcore.formats import Format
from qcore.kernels import declined
from qcore.methods.balance import is_balanced
from qcore.methods.divergence import divergence, merged_information
from qcore.methods.mse import best_split
from qcore.methods.range_search import search_ranges
from qcore.methods.registry import Method
from qcore.methods.solve import solve
from qcore.methods.step_search import search_affine, search_symmetric
from qcore.spec import QuantSpec
from qcore.statistics import Statistics

NAME = "torch"
INTERPRETED = os.environ.get("TRITON_INTERPRET", "0") == "1"
"""Whether Triton runs its kernels in Python, on tensors of the CPU."""
ELSEWHERE = "not on a GPU of CUDA"


@cache
def _module(name: str) -> Any:
    return import_module(f"qcore.backends.triton.search_{name}")


def _serves(x: torch.Tensor) -> bool:
    return x.is_cuda or INTERPRETED


@solve.accelerate(NAME)
def _(
    low: torch.Tensor,
    statistics: Statistics,
    spec: QuantSpec,
    method: Method,
    options: tuple[tuple[str, Any], ...],
    /,
) -> Any:
    if not _serves(low):
        return declined(ELSEWHERE)
    return search_solve.solve(low, statistics, spec, method, options)


@search_symmetric.accelerate(NAME)
def _(
    counts: torch.Tensor, steps: torch.Tensor, allowed: torch.Tensor, fmt: Format, /
) -> Any:
    if not _serves(counts):
        return declined(ELSEWHERE)
    return _module("error").search_symmetric(counts, steps, allowed, fmt)


@search_affine.accelerate(NAME)
def _(
    counts: torch.Tensor, steps: torch.Tensor, allowed: torch.Tensor, codes: int, /
) -> Any:
    if not _serves(counts):
        return declined(ELSEWHERE)
    return _module("error").search_affine(counts, steps, allowed, codes)


@search_ranges.accelerate(NAME)
def _(
    counts: torch.Tensor,
    steps: torch.Tensor,
    below: torch.Tensor,
    allowed: torch.Tensor,
    codes: int,
    /,
) -> Any:
    if not _serves(counts):
        return declined(ELSEWHERE)
    return _module("error").search_ranges(counts, steps, below, allowed, codes)


@best_split.accelerate(NAME)
def _(
    counts: torch.Tensor,
    step: torch.Tensor,
    reach: torch.Tensor,
    noise: torch.Tensor,
    codes: int,
    /,
) -> Any:
    if not _serves(counts):
        return declined(ELSEWHERE)
    return _module("error").best_split(counts, step, reach, noise, codes)


@is_balanced.accelerate(NAME)
def _(
    counts: torch.Tensor, below: torch.Tensor, above: torch.Tensor, spec: QuantSpec, /
) -> Any:
    if not _serves(counts):
        return declined(ELSEWHERE)
    return _module("balance").is_balanced(counts, below, above, spec)


@merged_information.accelerate(NAME)
def _(
    line: torch.Tensor,
    first: torch.Tensor,
    last: torch.Tensor,
    allowed: torch.Tensor,
    cells: tuple[float, ...],
    /,
) -> Any:
    if not _serves(line):
        return declined(ELSEWHERE)
    return _module("entropy").merged_information(line, first, last, allowed, cells)


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
    if not _serves(line):
        return declined(ELSEWHERE)
    return _module("entropy").divergence(
        line, first, last, allowed, beside=beside, cells=cells
    )
