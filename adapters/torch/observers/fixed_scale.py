"""A scale and a zero point that are set beforehand, whatever is seen."""

from typing import Any

import torch

from qcore.adapters.torch.observers.base import ObserverBase
from qcore.methods.options import lies_within


class FixedScaleObserver(ObserverBase):
    """
    Observe nothing: scale and zero point are fixed.

    They are what the state dict holds, in place of `min_val` and `max_val`.

    Parameters
    ----------
    scale : float, optional
        The scale, of all channels.
    zero_point : int, optional
        The zero point: a code.
    *common, **named
        The parameters of `ObserverBase`; there is nothing to average or synchronise.

    Attributes
    ----------
    scale, zero_point : tensor
        float32 and int32 ``[1]``.

    Raises
    ------
    ValueError
        If the scale is not positive and finite, the zero point is not a code, or
        another argument is out of range.
    """

    scale: torch.Tensor
    zero_point: torch.Tensor

    def __init__(
        self,
        scale: float = 1.0,
        zero_point: float = 0,
        *common: Any,
        **named: Any,
    ) -> None:
        super().__init__(*common, **named)
        numbers = torch.finfo(torch.float32)
        if not lies_within(numbers.tiny, scale, numbers.max):
            raise ValueError(
                f"`scale` must be a positive normal float32; got {scale!r}."
            )
        is_code = lies_within(self.quant_min, zero_point, self.quant_max)
        if not (is_code and zero_point == int(zero_point)):
            raise ValueError(
                f"`zero_point` must be an integer from {self.quant_min} to "
                f"{self.quant_max}; got {zero_point!r}."
            )
        device = self.min_val.device
        del self.min_val, self.max_val
        for name, value, kind in (
            ("scale", scale, torch.float32),
            ("zero_point", zero_point, torch.int32),
        ):
            fixed = torch.tensor([value], dtype=kind, device=device)
            self.register_buffer(name, fixed)

    def forward(self, x_orig: torch.Tensor) -> torch.Tensor:
        """Return the tensor."""
        return x_orig

    def _observe(self, x: torch.Tensor, /) -> None:
        """Observe nothing."""

    def calculate_qparams(  # type: ignore[override] # torch.ao calls it so too
        self,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the scale and the zero point, float32 and int32 ``[1]``."""
        return self.scale, self.zero_point

    def reset_min_max_vals(self) -> None:
        """Change nothing."""

    def extra_repr(self) -> str:
        """Return what is fixed, as a module prints it."""
        return f"scale={self.scale}, zero_point={self.zero_point}"
