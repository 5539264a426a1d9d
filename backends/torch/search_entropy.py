"""PyTorch: the divergence of the entropy search's windows, by Triton."""

from functools import cache

import torch

from qcore.backends.torch.search_launch import by_channel, flags, grid_of, launch
from qcore.backends.triton.search_entropy import fill_sums, score

SLOTS = 1024
"""Of the slots of a channel, so many are summed at once."""
WINDOWS = 256
"""Of a program."""


def merged_information(
    line: torch.Tensor,
    first: torch.Tensor,
    last: torch.Tensor,
    allowed: torch.Tensor,
    cells: tuple[float, ...],
    /,
) -> torch.Tensor:
    """Return what the kernel of this name does, zero for windows not allowed."""
    windows = first, last, allowed
    return _scored(line, windows, cells, left_out=0.0)


def divergence(
    line: torch.Tensor,
    first: torch.Tensor,
    last: torch.Tensor,
    allowed: torch.Tensor,
    /,
    *,
    beside: torch.Tensor,
    cells: tuple[float, ...],
) -> torch.Tensor:
    """Return what the kernel of this name does, infinity for windows not allowed."""
    windows = first, last, allowed
    return _scored(line, windows, cells, beside=beside, left_out=torch.inf)


def _scored(
    line: torch.Tensor,
    windows: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
    cells: tuple[float, ...],
    *,
    beside: torch.Tensor | None = None,
    left_out: float,
) -> torch.Tensor:
    """Return the divergences, or the sums over groups if `beside` is not given."""
    first, last, allowed = windows
    channels, slots = line.shape
    values = line.new_full(allowed.shape, left_out, dtype=torch.float64)
    sums = [
        line.new_empty((channels, slots + 1), dtype=dtype)
        for dtype in (torch.float64, torch.int32, torch.float64)
    ]
    block = min(SLOTS, 1 << slots.bit_length())
    launch(fill_sums, (channels,), line.contiguous(), *sums, slots, BLOCK=block)
    groups = len(cells) - 1
    launch(
        score,
        grid_of(allowed, WINDOWS),
        *sums,
        slots,
        *by_channel(first),
        *by_channel(last),
        flags(allowed),
        allowed.shape[1],
        line if beside is None else beside.contiguous(),
        _fractions(cells, line.device),
        groups,
        values,
        IS_EVEN=cells == tuple(k / groups for k in range(groups + 1)),
        IS_DIVERGENCE=beside is not None,
        BLOCK=WINDOWS,
    )
    return values


@cache
def _fractions(cells: tuple[float, ...], device: torch.device) -> torch.Tensor:
    return torch.tensor(cells, dtype=torch.float64, device=device)
