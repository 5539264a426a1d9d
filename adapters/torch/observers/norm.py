"""A range that reaches to the norm of the values."""

from math import inf
from typing import Any

import torch
from array_api_compat import torch as xp

from qcore import Range
from qcore.adapters.torch.observers.base import ObserverBase
from qcore.adapters.torch.observers.ends import ends_of
from qcore.methods.options import lies_within


class NormObserver(ObserverBase):
    """
    Observe the p-norm of the values and take it for the largest magnitude.

    Parameters
    ----------
    norm : float, optional
        The order p, positive; infinity gives the largest magnitude.
    *common, **named
        The parameters of `ObserverBase`.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Notes
    -----
    Horizon's class takes a norm for every column of the data, even per tensor.
    """

    def __init__(self, norm: float = 2.0, *common: Any, **named: Any) -> None:
        if not (lies_within(0, norm, inf) and norm):
            raise ValueError(f"`norm` must be positive; got {norm!r}.")
        super().__init__(*common, **named)
        self.norm = norm

    def _observe(self, x: torch.Tensor, /) -> torch.Tensor:
        seen = Range.of(x, granularity=self.granularity, xp=xp)
        rows, _ = self.granularity.to_rows(x.to(torch.float64), xp=xp)
        norm = torch.linalg.vector_norm(rows, self.norm, dim=1)
        return ends_of(-norm, norm, seen)
