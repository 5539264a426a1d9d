"""Triton: which candidates of which channel are a program's."""

from typing import Any

import torch
import triton
import triton.language as tl

WARPS = 4
"""Of a program: a float64 number for two to eight elements in each lane."""
TABLES = 64
"""So many tables of a format at most are kept on devices: to copy one there waits for
all that runs, and would in each call."""


@triton.jit
def candidates_of(candidates, block: tl.constexpr):
    """Return the channel of a program, and the numbers of its candidates.

    A grid of one axis, of which alone CUDA lets there be more than 65535. The programs
    of a channel follow one another and find its tables in the cache.
    """
    chunks = tl.cdiv(candidates, block)
    program = tl.program_id(0)
    channel = (program // chunks).to(tl.int64)
    return channel, (program % chunks) * block + tl.arange(0, block)


@triton.jit
def allowed_of(allowed_ptr, candidates, block: tl.constexpr):
    """Return a program's channel, its candidates, where they lie, are, and are allowed.

    Flags of ``[C, S]``; `candidates` is S.
    """
    channel, candidate = candidates_of(candidates, block)
    there = candidate < candidates
    at = channel * candidates + candidate
    allowed = tl.load(allowed_ptr + at, mask=there, other=0) != 0
    return channel, candidate, at, there, allowed


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
