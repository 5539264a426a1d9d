"""The range of least mean squared error."""

from typing import Any

from qcore.adapters.torch.observers.histogram import BINS, HistogramObserver
from qcore.methods.options import whole_number


class MSEObserver(HistogramObserver):
    """
    Observe the range of least mean squared error.

    The method is `mse` of qcore: it tries every slot of a histogram, and of an affine
    scheme every zero point too.

    Parameters
    ----------
    stride : int, optional
        Slots of the histogram from one candidate to the next; more are faster. The
        range has 2048 to 4096 slots, so 20 are about one part in a hundred of it.
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
    Horizon's class tries 95 ranges of each batch, from the whole of it down to 6 parts
    in a hundred, and with a stride takes another one than it found.
    """

    method = "mse"

    def __init__(
        self, stride: int = 1, *common: Any, update_interval: int = 1, **named: Any
    ) -> None:
        whole_number("stride", stride, 1)
        super().__init__(BINS, update_interval, *common, **named)
        self.stride = stride

    def _options(self) -> dict[str, Any]:
        return {"stride": self.stride}
