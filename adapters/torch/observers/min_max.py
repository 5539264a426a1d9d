"""The range of the values seen, as a moving average over batches."""

import torch
from array_api_compat import torch as xp

from qcore import Range
from qcore.adapters.torch.observers.base import ObserverBase
from qcore.adapters.torch.observers.ends import ends_of


class MinMaxObserver(ObserverBase):
    """
    Observe the smallest and the largest value, averaged over batches.

    The parameters are those of `ObserverBase`.
    """

    def _observe(self, x: torch.Tensor, /) -> torch.Tensor:
        seen = Range.of(x, granularity=self.granularity, xp=xp)
        return ends_of(seen.min, seen.max, seen)
