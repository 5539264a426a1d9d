"""What one of some processes gets: ``python synchronised_ranges.py RANK SIZE STORE``.

Prints the results of all cases as JSON.
"""

import json
import sys
from datetime import timedelta
from typing import Any

import torch
from torch import distributed

from qcore import QuantError
from qcore.adapters.torch.observers import KLObserver, MinMaxObserver, ObserverBase

CHANNELS = {"qscheme": torch.per_channel_affine, "ch_axis": 0}
SYNC = {"is_sync_quantize": True}


def result(observer: ObserverBase) -> Any:
    try:
        scale, zero_point = observer.calculate_qparams()
    except (QuantError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    ends = [observer.min_val.tolist(), observer.max_val.tolist()]
    return {"ends": ends, "scale": scale.tolist(), "zero_point": zero_point.tolist()}


def results(rank: int) -> dict[str, Any]:
    channels = MinMaxObserver(dtype="quint8", **CHANNELS, **SYNC)
    if rank:  # the first process has no data
        channels(torch.tensor([[-3.0, 9.0], [-1.0 - rank, 1.0 * rank]]))
    early = KLObserver(update_interval=5, **SYNC)
    early(torch.linspace(-1, 1 + rank, 50))
    alone = MinMaxObserver()
    alone(torch.tensor([1.0 + rank]))
    nan = MinMaxObserver(**SYNC)
    nan(torch.tensor([float("nan") if rank else 1.0]))
    sizes = MinMaxObserver(**CHANNELS, **SYNC)
    sizes(torch.ones(2 + rank, 2))
    cases = {
        "channels": channels,
        "early": early,
        "alone": alone,
        "nan": nan,
        "sizes": sizes,
    }
    return {name: result(observer) for name, observer in cases.items()}


if __name__ == "__main__":
    rank, size = int(sys.argv[1]), int(sys.argv[2])
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo",
        init_method=f"file://{sys.argv[3]}",
        rank=rank,
        world_size=size,
        timeout=timedelta(seconds=60),
    )
    print(json.dumps(results(rank)))
    distributed.destroy_process_group()
