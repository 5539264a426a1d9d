"""Seconds of calls on a CUDA device, and what share of its bandwidth they use."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

BINS = 2048
"""Of the histograms that are timed."""
ROUNDS, CALLS = 5, 10

Row = dict[str, Any]
Run = Callable[[], object]


def bandwidths(x: torch.Tensor) -> dict[str, float]:
    """Return GB/s of the fastest read and of a copy, which reads and writes."""
    y = torch.empty_like(x)
    reads = {"sum": x.sum, "amax": x.amax, "aminmax": x.aminmax}
    size = x.numel() * x.element_size() / 1e9
    read = max(size / seconds(run) for run in reads.values())
    return {"read": read, "copy": 2 * size / seconds(lambda: y.copy_(x))}


def share(
    what: str,
    run: Run,
    size: float,
    limit: float,
    *,
    bar: float | None = None,
    data: str = "",
) -> Row:
    """Return the time of a run that moves so many bytes, as a share of a limit."""
    row: Row = {"what": what, "data": data, **timed(run)}
    if "ms" in row:
        row["GB/s"] = size / row["ms"] / 1e6
        row["share"] = row["GB/s"] / limit
    return row | ({} if bar is None or not what.startswith("qcore") else {"bar": bar})


def timed(run: Run, rounds: int = ROUNDS, calls: int = CALLS) -> Row:
    """Return the milliseconds of a run, or the error that ended it."""
    try:
        return {"ms": 1e3 * seconds(run, rounds, calls)}
    except Exception as error:  # one must not end the others
        return {"error": f"{type(error).__name__}: {error}"[:300]}


def seconds(run: Run, rounds: int = ROUNDS, calls: int = CALLS) -> float:
    """Return the median seconds of a call, among calls asked for without a pause."""
    for _ in range(2):  # compile, and fill the allocator's pools
        run()
    times = []
    for _ in range(rounds):
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(calls):
            run()
        torch.cuda.synchronize()
        times.append((time.perf_counter() - start) / calls)
    return float(np.median(times))
