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
    first = arguments[0]
    with torch.cuda.device_of(first):
        kernel[grid](*arguments, **settings, num_warps=WARPS, enable_fp_fusion=False)


def blocks(candidates: int, block: int) -> int:
    """Return how many blocks of candidates there are."""
    return -(-candidates // block)


def by_channel(x: torch.Tensor) -> tuple[torch.Tensor, int]:
    """Return rows ``[C, S]`` or ``[1, S]`` in memory, and how far apart they lie."""
    x = x.contiguous()
    return x, x.shape[1] if x.shape[0] > 1 else 0


def flags(allowed: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
    """Return booleans as bytes in memory."""
    return allowed.expand(shape).contiguous().view(torch.uint8)
