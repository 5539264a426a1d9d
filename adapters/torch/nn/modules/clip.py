"""A module that clips, with fixed or learned bounds."""

from typing import Any

import torch

from qcore.adapters.torch.nn.functional import clip

__all__ = ["Clip"]


class Clip(torch.nn.Module):
    """
    Limit a tensor to ``[clip_value_min, clip_value_max]``: see `functional.clip`.

    Parameters
    ----------
    clip_value_min, clip_value_max : float or Tensor
        The bounds, which broadcast against the inputs.
    learn_min, learn_max : bool, optional
        Whether a bound is a parameter, which begins at the value given. A state dict
        holds the learned bounds alone, as the original's.

    Raises
    ------
    ValueError
        If a bound to be learned is no scalar.
    """

    clip_value_min: torch.Tensor | float
    clip_value_max: torch.Tensor | float

    def __init__(
        self,
        clip_value_min: torch.Tensor | float,
        clip_value_max: torch.Tensor | float,
        learn_min: bool = False,
        learn_max: bool = False,
    ) -> None:
        super().__init__()
        self._hold("clip_value_min", clip_value_min, learn_min)
        self._hold("clip_value_max", clip_value_max, learn_max)

    def _hold(self, name: str, value: Any, is_learned: bool) -> None:
        if is_learned:
            setattr(self, name, torch.nn.Parameter(_scalar(name, value)))
        elif isinstance(value, torch.Tensor):
            self.register_buffer(name, value, persistent=False)
        else:
            setattr(self, name, value)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the inputs, limited."""
        return clip(inputs, self.clip_value_min, self.clip_value_max)


def _scalar(name: str, value: Any) -> torch.Tensor:
    """Return a bound as a float tensor of its own memory."""
    try:
        given = torch.as_tensor(value).detach()
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(
            f"`{name}` must be a number or a tensor; got {value!r}."
        ) from None
    if given.numel() != 1:
        raise ValueError(
            f"`{name}` must be a scalar to be learned; got the shape "
            f"{tuple(given.shape)}."
        )
    return given.clone() if given.is_floating_point() else given.to(torch.float32)
