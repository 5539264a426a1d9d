"""The range of the values seen, within limits."""

from math import inf
from typing import Any

import torch

from qcore.adapters.torch.observers.min_max import MinMaxObserver
from qcore.methods.options import lies_within


class ClipObserver(MinMaxObserver):
    """
    Observe the smallest and the largest value, within limits.

    Parameters
    ----------
    xmin, xmax : float, optional
        The limits of the range.
    averaging_constant : float, optional
        As of `ObserverBase`; 1 keeps the range of the last batch alone.
    *common, **named
        The other parameters of `ObserverBase`.

    Raises
    ------
    ValueError
        If `xmin` exceeds `xmax` or another argument is out of range.
    """

    def __init__(
        self,
        xmin: float = -1.0,
        xmax: float = 1.0,
        averaging_constant: float = 1.0,
        *common: Any,
        **named: Any,
    ) -> None:
        if not all(lies_within(-inf, limit, inf) for limit in (xmin, xmax)):
            raise ValueError(
                f"`xmin` and `xmax` must be numbers; got {xmin!r} and {xmax!r}."
            )
        if not xmin <= xmax:
            raise ValueError(f"`xmin` must not exceed `xmax`; got {xmin} and {xmax}.")
        super().__init__(averaging_constant, *common, **named)
        self.xmin = xmin
        self.xmax = xmax

    def _averaged(self, ends: torch.Tensor) -> torch.Tensor:
        return super()._averaged(ends).clamp(self.xmin, self.xmax)
