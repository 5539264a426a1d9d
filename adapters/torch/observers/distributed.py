"""The range over all processes of torch.distributed."""

import torch
from torch import distributed

from qcore.adapters.torch.synchronization.meeting import is_distributed

_FEWEST = torch.iinfo(torch.int64).min


def widest(ends: torch.Tensor, /) -> torch.Tensor:
    """
    Return the widest ends that any process has; every process must call this.

    Parameters
    ----------
    ends : tensor
        float32 ``[2, C]``, ``[2, 0]`` in a process that saw no data.

    Returns
    -------
    tensor
        float32 ``[2, C]``, equal in all processes: minimum and maximum, NaN where any
        is NaN. The argument itself without torch.distributed.

    Raises
    ------
    ValueError
        In every process, if those with data differ in C.
    """
    if not is_distributed():
        return ends
    count = ends.shape[1]
    sizes = torch.tensor([count, -count if count else _FEWEST], device=ends.device)
    distributed.all_reduce(sizes, distributed.ReduceOp.MAX)
    most, least = int(sizes[0]), -int(sizes[1])
    if most == 0:
        return ends
    if least != most:
        raise ValueError(
            f"all processes must observe as many channels; got {least} and {most}."
        )
    infinity = float("inf")
    # Finite ends as outward distances, so that one maximum serves both; what is NaN
    # travels as infinity, as collectives differ in what they make of NaN.
    outward = ends.new_full((2, most), -infinity)
    if count:
        outward = torch.stack([-ends[0], ends[1]])
        outward = outward.where(outward.isfinite(), infinity)
    distributed.all_reduce(outward, distributed.ReduceOp.MAX)
    tainted = torch.isinf(outward).any(dim=0)
    return torch.stack([-outward[0], outward[1]]).masked_fill(tainted, float("nan"))
