"""The best of the ranges that several methods find."""

from typing import Any

from qcore.adapters.torch.observers.histogram import BINS, HistogramObserver


class MixObserver(HistogramObserver):
    """
    Observe the range of least mean squared error among those of several methods.

    The method is `auto` of qcore.

    Parameters
    ----------
    *common, **named
        The parameters of `ObserverBase`.
    update_interval : int, optional
        Calls from one range to the next, as of `KLObserver`.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Notes
    -----
    Horizon's class tries nine percentiles of each batch.
    """

    method = "auto"

    def __init__(self, *common: Any, update_interval: int = 1, **named: Any) -> None:
        super().__init__(BINS, update_interval, *common, **named)
