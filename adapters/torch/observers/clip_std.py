"""The range of the values seen, within some standard deviations of the mean."""

from math import inf
from typing import Any

import torch
from array_api_compat import torch as xp

from qcore import Range
from qcore.adapters.torch.observers.base import ObserverBase
from qcore.adapters.torch.observers.ends import ends_of
from qcore.methods.options import lies_within


class ClipStdObserver(ObserverBase):
    """
    Observe the smallest and the largest value, not too far from the mean.

    Parameters
    ----------
    std_scale : float, optional
        How many standard deviations of a batch its range may reach from its mean.
    *common, **named
        The parameters of `ObserverBase`.

    Raises
    ------
    ValueError
        If an argument is out of range.
    """

    def __init__(self, std_scale: float = 3.0, *common: Any, **named: Any) -> None:
        if not (lies_within(0, std_scale, inf) and std_scale):
            raise ValueError(f"`std_scale` must be positive; got {std_scale!r}.")
        super().__init__(*common, **named)
        self.std_scale = std_scale

    def _observe(self, x: torch.Tensor, /) -> torch.Tensor:
        seen = Range.of(x, granularity=self.granularity, xp=xp)
        rows, _ = self.granularity.to_rows(x.to(torch.float64), xp=xp)
        is_sample = min(rows.shape[1] - 1, 1)  # one value does not deviate
        std, mean = torch.std_mean(rows, dim=1, correction=is_sample)
        reach = self.std_scale * std
        low, high = seen.min.maximum(mean - reach), seen.max.minimum(mean + reach)
        return ends_of(low, high, seen)
