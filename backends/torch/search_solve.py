"""PyTorch: a method on many entries, as many at once as memory holds."""

from typing import Any

import torch
from array_api_compat import torch as xp

from qcore.methods.registry import Method
from qcore.methods.solve import entries, numbers_of
from qcore.spec import QuantSpec
from qcore.statistics import Statistics

BYTES = 64
"""Of temporary memory for each number of a state: 16 float64 arrays of candidates, of
which there are half as many as numbers."""
LEAST = 1 << 13
"""Numbers: methods may try thousands of candidates where slots are few."""
MOST = 1 << 31
"""Bytes of temporary memory."""
PART = 8
"""Of the memory of the device, one part in so many may be such."""


def solve(
    low: torch.Tensor,
    statistics: Statistics,
    spec: QuantSpec,
    method: Method,
    options: tuple[tuple[str, Any], ...],
    /,
) -> torch.Tensor:
    """Return what the kernel of this name does."""
    count, numbers = statistics.channels, max(numbers_of(statistics), LEAST)
    most = MOST
    if low.is_cuda:
        memory = torch.cuda.get_device_properties(low.device).total_memory
        most = min(most, memory // PART)
    whole = max(most // (BYTES * numbers), 1)
    blocks = -(-count // whole)
    size = -(-count // max(blocks, 1))

    def ends(first: int) -> torch.Tensor:
        part = entries(statistics, first, min(first + size, count))
        return torch.stack(list(method(part, spec, xp=xp, **dict(options))))

    if blocks <= 1:
        return torch.stack(list(method(statistics, spec, xp=xp, **dict(options))))
    return torch.cat([ends(first) for first in range(0, count, size)], dim=1)
