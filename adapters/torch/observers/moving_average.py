"""The observers of Horizon's plugin before its second version, named as in torch.ao."""

from typing import Any

import torch

from qcore.adapters.torch.observers.bounds import DType
from qcore.adapters.torch.observers.min_max import MinMaxObserver

_PER_TENSOR = (torch.per_tensor_symmetric, torch.per_tensor_affine)


class MovingAverageMinMaxObserver(MinMaxObserver):
    """
    Observe the smallest and the largest value, averaged over batches, per tensor.

    Parameters
    ----------
    averaging_constant, dtype, qscheme, *common, **named
        The parameters of `ObserverBase`, less `ch_axis`; the scheme is one per tensor.

    Raises
    ------
    ValueError
        If the scheme is per channel or an argument is out of range.
    """

    def __init__(
        self,
        averaging_constant: float = 0.01,
        dtype: DType = torch.qint8,
        qscheme: torch.qscheme = torch.per_tensor_symmetric,
        *common: Any,
        **named: Any,
    ) -> None:
        if qscheme not in _PER_TENSOR:
            raise ValueError(
                f"`qscheme` must be one per tensor; got {qscheme}. "
                "Use MovingAveragePerChannelMinMaxObserver."
            )
        super().__init__(averaging_constant, -1, dtype, qscheme, *common, **named)


class MovingAveragePerChannelMinMaxObserver(MinMaxObserver):
    """
    Observe the smallest and the largest value of each channel, averaged over batches.

    Parameters
    ----------
    averaging_constant, ch_axis, dtype, qscheme, *common, **named
        The parameters of `ObserverBase`; the scheme is one per channel.

    Raises
    ------
    ValueError
        If the scheme is per tensor or an argument is out of range.
    """

    def __init__(
        self,
        averaging_constant: float = 0.01,
        ch_axis: int = 0,
        dtype: DType = torch.qint8,
        qscheme: torch.qscheme = torch.per_channel_symmetric,
        *common: Any,
        **named: Any,
    ) -> None:
        if qscheme in _PER_TENSOR:
            raise ValueError(
                f"`qscheme` must be one per channel; got {qscheme}. "
                "Use MovingAverageMinMaxObserver."
            )
        super().__init__(averaging_constant, ch_axis, dtype, qscheme, *common, **named)
