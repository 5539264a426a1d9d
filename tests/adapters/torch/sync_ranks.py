"""Run checks of `sync_statistics` in processes of Gloo; test_distributed.py reads them.

``python sync_ranks.py FOLDER`` imports once, then forks groups of 2, 3 and 4 processes.
Each writes ``FOLDER/<size>.<rank>.<check>``, statistics or the text of an error.
"""

import os
import sys
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import numpy as np
import torch
from torch import distributed, nn

from qcore import Histogram, MovingRange, PerChannel, Range, Top2, save
from qcore.adapters.torch.nn.modules.quant_linear import QuantLinear
from qcore.adapters.torch.quantizer.descriptor import QuantDescriptor
from qcore.adapters.torch.synchronization.distributed import sync, sync_statistics
from qcore.adapters.torch.synchronization.meeting import Meeting

SIZES = (2, 3, 4)
BATCHES = {2: (2, 1), 3: (1, 0, 3), 4: (1, 2, 0, 1)}
"""How many batches each rank sees."""
ENOUGH, SHORT = 60.0, 2.0
"""Seconds to wait where all come, and where one does not."""
DISAGREEMENTS: dict[str, Callable[[int, int], Any]] = {
    "bins": lambda rank, last: Histogram.of(x(0), bins=64 if rank == last else 32),
    "extents": lambda rank, last: Range.of(
        x(0)[:, : 4 if rank == last else 5], granularity=PerChannel(1)
    ),
    "class": lambda rank, last: (Range if rank == last else Histogram).of(x(0)),
    "moving": lambda rank, last: (MovingRange if rank == last else Range).of(x(0)),
    "thing": lambda rank, last: "text" if rank == last else Range.of(x(0)),
}


def x(seed: int) -> torch.Tensor:
    """Return a batch; its width changes from one to the next by powers of two."""
    values = np.random.default_rng(seed).normal(size=(7, 6)) * 2.0 ** (3 * seed)
    values[0, :3] = 0, np.nan, -np.inf
    return torch.from_numpy(values.astype(np.float32))


def batches_of(rank: int, size: int) -> list[torch.Tensor]:
    """Return the batches that a rank sees."""
    before = sum(BATCHES[size][:rank])
    return [x(before + i) for i in range(BATCHES[size][rank])]


def collected(batches: list[torch.Tensor]) -> dict[str, Any]:
    """Return a state of every kind that merges, None where there is no batch."""
    states: dict[str, Any] = {
        "histogram": lambda b: Histogram.of(b, bins=16),
        "channels": lambda b: Histogram.of(b, bins=8, granularity=PerChannel(-1)),
        "weighted": lambda b: Histogram.of(b, bins=8, weights=b.abs().nan_to_num(0)),
        "range": lambda b: Range.of(b, granularity=PerChannel(0)),
        "top2": lambda b: Top2.of(b, axis=1),
        "numpy": lambda b: Histogram.of(b.numpy(), bins=8),
    }
    return {
        name: merged([of(batch) for batch in batches]) for name, of in states.items()
    }


def merged(states: list[Any]) -> Any:
    """Return one state of several, None of none."""
    whole = None
    for state in states:
        whole = state if whole is None else whole.merge(state)
    return whole


class Net(nn.Module):
    """Layers of which a rank may lack one."""

    def __init__(self, *names: str) -> None:
        super().__init__()
        for name in names:
            desc = QuantDescriptor(calib_method="histogram", num_bins=32)
            layer = QuantLinear(6, 6, quant_desc_input=desc)
            layer.input_quantizer.enable_calib()
            self.add_module(name, layer)


def net_of(rank: int, batches: list[torch.Tensor]) -> Net:
    """Return the calibrated model of a rank: a layer of its own and a shared one."""
    net = Net("shared", f"own{rank % 2}")
    for batch in batches:
        for layer in net.children():
            layer.input_quantizer(batch)
    return net


def one_rank(rank: int, size: int, folder: Path) -> None:
    """Do all checks in one process of a group."""
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/{size}.store", rank=rank, world_size=size
    )
    torch.set_num_threads(1)

    def write(check: str, found: Any) -> None:
        path = folder / f"{size}.{rank}.{check}"
        if isinstance(found, dict):
            save(path, found)
        else:
            path.write_text(found, encoding="utf-8")

    def refused(check: str, call: Callable[[], Any]) -> None:
        start = monotonic()
        try:
            call()
        except (TypeError, ValueError, TimeoutError) as error:
            write(check, f"{type(error).__name__}: {error}")
        write(f"{check}.seconds", str(monotonic() - start))

    batches = batches_of(rank, size)
    write("mapping", sync(collected(batches), timeout=ENOUGH))
    net = net_of(rank, batches)
    write("model", sync_statistics(net, timeout=ENOUGH))
    write("calibrators", held(net))
    write("nothing", sync({} if rank else {"unseen": None}, timeout=ENOUGH))
    for name, of in DISAGREEMENTS.items():
        refused(name, lambda of=of: sync({"x": of(rank, size - 1)}, timeout=ENOUGH))
    write(
        "after", sync({"x": Range.of(x(rank))}, timeout=ENOUGH)
    )  # errors leave the group in step
    refused("timeout", lambda: late(rank, size, folder))
    write("again", sync({"x": Range.of(x(rank))}, timeout=ENOUGH))
    if size > 2:
        refused("group", lambda: subgroup(rank, write))
    if rank == size - 1:  # it crashes when all wait for its numbers
        Meeting.all_reduce = lambda *_: os._exit(0)  # type: ignore[method-assign]
    refused("crash", lambda: sync({"x": Range.of(x(rank))}, timeout=SHORT))


def late(rank: int, size: int, folder: Path) -> None:
    """Let the last rank come when the others have given up."""
    if rank == size - 1:
        others = [folder / f"{size}.{r}.timeout" for r in range(size - 1)]
        while not all(path.exists() for path in others):
            sleep(0.01)
    sync({"x": Range.of(x(rank))}, timeout=SHORT)


def subgroup(rank: int, write: Callable[[str, Any], None]) -> None:
    """Let the ranks 0 and 2 sync alone; rank 1, no member, is refused."""
    members = distributed.new_group([0, 2])
    if rank in (0, 1, 2):
        write("members", sync({"x": Range.of(x(rank))}, members, timeout=ENOUGH))


def held(net: Net) -> dict[str, Any]:
    """Return what the calibrators of inputs hold."""
    states = {
        f"{name}._input_quantizer": layer.input_quantizer.calibrator.statistics
        for name, layer in net.named_children()
    }
    return {name: state for name, state in states.items() if state is not None}


if __name__ == "__main__":
    workers = [
        get_context("fork").Process(target=one_rank, args=(rank, n, Path(sys.argv[1])))
        for n in SIZES
        for rank in range(n)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    sys.exit(sum(worker.exitcode != 0 for worker in workers))
