"""The range whose quantized distribution says most about the original one."""

from typing import Any

from qcore.adapters.torch.observers.histogram import HistogramObserver


class KLObserver(HistogramObserver):
    """
    Observe the range of least Kullback-Leibler divergence.

    The method is `entropy` of qcore.

    Parameters
    ----------
    bins : int, optional
        Resolution of the histogram, 2 to 2**20.
    update_interval : int, optional
        Calls from one range to the next; between them the histogram is collected. That
        of all calls is exact, and fastest. If qparams are asked for before the first
        time, the range is that of the histogram so far.
    *common, **named
        The parameters of `ObserverBase`.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Notes
    -----
    Horizon's class works per tensor, needs 256 bins, adds up the divergences of nine
    neighbouring candidates and has no range before the first interval is over.
    """

    method = "entropy"

    def __init__(
        self, bins: int = 512, update_interval: int = 1, *common: Any, **named: Any
    ) -> None:
        super().__init__(bins, update_interval, *common, **named)
