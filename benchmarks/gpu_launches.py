"""Kernels on a CUDA device in launches of several sizes, of which they have one."""

from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec

import torch
from gpu_timing import BINS, Row, share

import qcore

LAUNCHES = ((256, 4), (256, 6), (512, 2), (512, 3), (1024, 1), (1024, 2))
"""Threads of a block, and blocks of a multiprocessor."""
TILES = ((1024, 4), (2048, 4), (2048, 8), (4096, 8), (8192, 8))
"""Elements of a program, and its warps."""


def tally_launches(normal: torch.Tensor, limits: dict[str, float]) -> Iterator[Row]:
    """Counting in blocks of several sizes, of which the kernels have one."""
    if not find_spec("cuda"):
        return
    from qcore.backends.cuda import tally as plan  # noqa: PLC0415

    state = qcore.Histogram.of(normal, bins=BINS)
    chosen = plan.THREADS, plan.RESIDENT
    try:
        for launch in LAUNCHES:
            plan.THREADS, plan.RESIDENT = launch
            what = "threads x blocks: {} x {}".format(*launch)
            size = 4 * normal.numel()
            run = partial(state.update, normal)
            note = {"chosen": True} if launch == chosen else {}
            yield share(what, run, size, limits["read"], data="normal") | note
    finally:
        plan.THREADS, plan.RESIDENT = chosen


def rounding_launches(normal: torch.Tensor, limits: dict[str, float]) -> Iterator[Row]:
    """Rounding in tiles of several sizes, of which the kernels have one."""
    if not find_spec("triton"):
        return
    from qcore.backends.triton import gradient, launch, quantize  # noqa: PLC0415
    from qcore.backends.triton.layout import layout_of  # noqa: PLC0415

    scale, zero = (
        torch.full((1,), 0.02).cuda(),
        torch.zeros(1, dtype=torch.int32).cuda(),
    )
    fmt = qcore.parse_format("int8")
    chosen = launch.WARPS
    try:
        for dtype in (torch.float32, torch.bfloat16):
            x = normal.to(dtype)
            y, g = torch.empty_like(x), x.flip(0)
            layout = layout_of(tuple(x.shape), qcore.PerTensor(), True)
            rest = x, scale, zero, fmt, layout
            for elements, warps in TILES:
                launch.WARPS = warps
                tile = {"out": y, "elements": elements}
                what = f"elements x warps, {dtype}: {elements} x {warps}"
                size = 2 * x.numel() * x.element_size()
                run = partial(quantize.rounded, *rest, is_coded=False, **tile)
                yield share(what, run, size, limits["copy"])
                run = partial(gradient.fake_quantize_gradient, g, *rest, **tile)
                yield share(f"{what}, gradient", run, 1.5 * size, limits["copy"])
    finally:
        launch.WARPS = chosen
