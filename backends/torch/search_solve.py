"""PyTorch: a method on many entries, as many at once as memory holds."""

from typing import Any

import torch
from array_api_compat import torch as xp

from qcore.backends import entries
from qcore.methods.registry import Method
from qcore.spec import QuantSpec
from qcore.statistics import Statistics


def solve(
    low: torch.Tensor,
    statistics: Statistics,
    spec: QuantSpec,
    method: Method,
    options: tuple[tuple[str, Any], ...],
    /,
) -> torch.Tensor:
    """Return what the kernel of this name does."""
    memory = entries.PART * entries.MOST
    if low.is_cuda:
        memory = torch.cuda.get_device_properties(low.device).total_memory
    found: torch.Tensor = entries.solve(
        statistics, spec, method, options, memory=memory, xp=xp
    )
    return found
