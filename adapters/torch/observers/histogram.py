"""Observers that collect a histogram and search it for a range now and then."""

from typing import Any, ClassVar

import torch
from array_api_compat import torch as xp

from qcore import Histogram, compute_range
from qcore.adapters.torch.observers.base import ObserverBase
from qcore.adapters.torch.observers.ends import ends_of, is_tainted
from qcore.methods.options import whole_number
from qcore.statistics.histogram import MOST_BINS

BINS = 2048
"""As many as Horizon's observers have by default."""


class HistogramObserver(ObserverBase):
    """
    An observer whose range a method of qcore finds in a histogram.

    The histogram is collected at every call. Every `update_interval` calls the method
    runs, its range goes into the moving average, and a new histogram begins. If the
    qparams are asked for before the first time, the method runs on what there is, and
    the histogram goes on. An interval as long as the calibration is exact: the range
    is that of all the values, whatever the batches.

    Parameters
    ----------
    bins : int
        Resolution of the histogram.
    update_interval : int
        Calls from one range to the next.
    *common, **named
        The parameters of `ObserverBase`.
    """

    method: ClassVar[str]

    def __init__(
        self, bins: int, update_interval: int, *common: Any, **named: Any
    ) -> None:
        whole_number("bins", bins, 2, MOST_BINS)
        whole_number("update_interval", update_interval, 1)
        super().__init__(*common, **named)
        self.bins = bins
        self.update_interval = update_interval
        self._seen: Histogram | None = None
        self._calls = 0

    def _options(self) -> dict[str, Any]:
        """Return the options of the method."""
        return {}

    def reset_min_max_vals(self) -> None:
        """Forget all that was observed, the histogram too."""
        super().reset_min_max_vals()
        self._restart()

    def _restart(self) -> None:
        self._seen, self._calls = None, 0

    def _observe(self, x: torch.Tensor, /) -> torch.Tensor | None:
        self._seen = self._collected(x)
        self._calls += 1
        if self._calls < self.update_interval:
            return None
        ends = self._search(self._seen)
        self._restart()
        return ends

    def _collected(self, x: torch.Tensor) -> Histogram:
        """Return the histogram of the data and of all since the last range."""
        seen = self._seen
        if seen is None:
            return Histogram.of(x, bins=self.bins, granularity=self.granularity, xp=xp)
        if seen.min.device != x.device:
            seen = seen.to(xp, x.device)
        return seen.update(x)

    def _search(self, seen: Histogram) -> torch.Tensor:
        if bool(is_tainted(seen).all()):
            return ends_of(seen.min, seen.max, seen)
        low, high = compute_range(
            seen,
            self._spec,
            self.method,
            nonfinite="ignore",  # told by `calculate_qparams`
            xp=xp,
            **self._options(),
        )
        return ends_of(low, high, seen)

    def _current(self) -> torch.Tensor:
        if self.min_val.numel() or self._seen is None:
            return super()._current()
        return self._search(self._seen)

    def _save_to_state_dict(
        self, destination: dict[str, Any], prefix: str, keep_vars: bool
    ) -> None:
        """Save the range in force, as the histogram itself is not saved."""
        super()._save_to_state_dict(destination, prefix, keep_vars)
        if self._seen is not None and not self.min_val.numel():
            for name, end in zip(("min_val", "max_val"), self._current(), strict=True):
                destination[prefix + name] = end.to(self.min_val.dtype, copy=True)
