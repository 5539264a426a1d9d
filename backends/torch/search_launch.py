"""PyTorch: how the searches' Triton kernels are launched, and in what form given."""

from typing import Any

import torch

WARPS = 4
"""Of a program: a float64 number for two to eight elements in each lane."""


def launch(
    kernel: Any, grid: tuple[int, ...], *arguments: Any, **settings: Any
) -> None:
    """Run a kernel on the device and stream of its first argument.

    Products and sums stay apart, as they are in the portable functions.
    """
    with torch.cuda.device_of(arguments[0]):
        kernel[grid](*arguments, **settings, num_warps=WARPS, enable_fp_fusion=False)


def grid_of(candidates: torch.Tensor, block: int) -> tuple[int]:
    """Return the grid of programs that have a block of candidates ``[C, S]`` each."""
    channels, number = candidates.shape
    return (channels * -(-number // block),)


def by_channel(x: torch.Tensor) -> tuple[torch.Tensor, int]:
    """Return rows ``[C, S]`` or ``[1, S]`` in memory, and how far apart they lie."""
    x = x.contiguous()
    return x, x.shape[1] if x.shape[0] > 1 else 0


def flags(allowed: torch.Tensor) -> torch.Tensor:
    """Return booleans as bytes in memory."""
    return allowed.contiguous().view(torch.uint8)
