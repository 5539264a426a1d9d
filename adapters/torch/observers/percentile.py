"""The range that keeps a share of the values."""

from typing import Any

from qcore.adapters.torch.observers.histogram import BINS, HistogramObserver
from qcore.methods.options import lies_within


class PercentileObserver(HistogramObserver):
    """
    Observe the range that keeps a share of the values.

    The method is `percentile` of qcore: of magnitudes for a symmetric scheme; an affine
    one loses half of the rest at each end.

    Parameters
    ----------
    percentile : float, optional
        The share kept, in [0, 100]; 100 is exactly the largest value.
    bins : int, optional
        Resolution of the histogram, 2 to 2**20.
    *common, **named
        The parameters of `ObserverBase`.
    update_interval : int, optional
        Calls from one range to the next, as of `KLObserver`.

    Raises
    ------
    ValueError
        If an argument is out of range.
    """

    method = "percentile"

    def __init__(
        self,
        percentile: float = 99.99,
        bins: int = BINS,
        *common: Any,
        update_interval: int = 1,
        **named: Any,
    ) -> None:
        if not lies_within(0, percentile, 100):
            raise ValueError(f"`percentile` must lie in [0, 100]; got {percentile!r}.")
        super().__init__(bins, update_interval, *common, **named)
        self.percentile = percentile

    def _options(self) -> dict[str, Any]:
        return {"percentile": self.percentile}
