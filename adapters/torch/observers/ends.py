"""Both ends of the ranges of C channels in one tensor: float32 ``[2, C]``.

An end is NaN where NaN or infinity was seen, so that ranges remember it.
"""

import torch
from array_api_compat import torch as xp

from qcore import MovingRange, PerChannel
from qcore.statistics import Statistics


def is_tainted(statistics: Statistics, /) -> torch.Tensor:
    """Return where NaN or infinity was seen, booleans ``[C]``."""
    seen: torch.Tensor = statistics.nonfinite > 0
    return seen


def ends_of(
    low: torch.Tensor, high: torch.Tensor, statistics: Statistics, /
) -> torch.Tensor:
    """Return the ends that were found in statistics, NaN where those are tainted."""
    ends = torch.stack([low, high]).to(torch.float32)
    return ends.masked_fill(is_tainted(statistics), float("nan"))


def moved(
    old: torch.Tensor, new: torch.Tensor, averaging_constant: float, /
) -> torch.Tensor:
    """Return the ends moved from the old towards the new ones.

    By `MovingRange`, for which the two ends are a batch of two values. What is tainted
    stays so.

    Raises
    ------
    ValueError
        If they are of different numbers of channels.
    """
    average = MovingRange.of(
        old,
        granularity=PerChannel(1),
        averaging_constant=averaging_constant,
        xp=xp,
    ).update(new)
    return ends_of(average.min, average.max, average)
