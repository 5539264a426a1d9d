"""Start kernels as all of them are started."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from qcore.backends.triton.layout import WARPS, WIDE, Layout, tile_of

EXACT = {"enable_fp_fusion": False}
"""What every launch says: a fused multiply-add rounds once where the reference does
twice."""


def on_device_of(x: torch.Tensor, /) -> AbstractContextManager[object]:
    """Return the context in which kernels start on the device of a tensor."""
    return torch.cuda.device(x.device) if x.is_cuda else nullcontext()


def arguments_of(layout: Layout, elements: int, /) -> tuple[dict[str, Any], int]:
    """Return what `tile` is told, and how many programs run."""
    rows, columns, programs = tile_of(layout, elements)
    return {
        "pieces": layout.pieces,
        "per_line": layout.per_line,
        "line": layout.line,
        "size": layout.size,
        "inner": layout.inner,
        "scales": layout.scales,
        "is_along": layout.is_along,
        "is_cut": layout.per_line > 1,
        "is_cyclic": layout.is_along and layout.scales < layout.pieces,
        "is_wide": layout.lines * layout.line * layout.inner >= WIDE,
        "rows": rows,
        "columns": columns,
        "num_warps": warps_of(rows * columns),
        **EXACT,
    }, programs


def warps_of(elements: int, /) -> int:
    """Return how many warps work on a tile, fewer on a small one."""
    return max(1, min(WARPS, elements // 128))
