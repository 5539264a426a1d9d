"""Clipping with bounds that broadcast, and that may be learned."""

from typing import Any

import torch
from array_api_compat import torch as xp

from qcore.adapters.torch.functions.calling import applied, as_tensor, with_apply
from qcore.clipping import clip as limited
from qcore.clipping import gradients_of_clip


class ClipFunction(torch.autograd.Function):
    """`clip`, for ``ClipFunction.apply``: tensors, all by position."""

    generate_vmap_rule = True

    @staticmethod
    def forward(
        input: torch.Tensor, clip_value_min: torch.Tensor, clip_value_max: torch.Tensor
    ) -> torch.Tensor:
        """Return the input, limited."""
        found: torch.Tensor = limited(input, clip_value_min, clip_value_max, xp=xp)
        return found

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Remember all, and refuse to learn a bound that is no scalar."""
        del output
        for bound, is_learned in zip(inputs[1:], ctx.needs_input_grad[1:], strict=True):
            if is_learned and bound.numel() != 1:
                raise ValueError(
                    "a bound must be a scalar to be learned; got the shape "
                    f"{tuple(bound.shape)}."
                )
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Return the gradients of the input and of the bounds that are learned."""
        input, *bounds = ctx.saved_tensors
        of_input, *shares = gradients_of_clip(gradient, input, *bounds, xp=xp)
        learned = ctx.needs_input_grad[1:]
        return of_input, *(
            share.sum(dtype=bound.dtype).reshape(bound.shape) if is_learned else None
            for share, bound, is_learned in zip(shares, bounds, learned, strict=True)
        )


@with_apply(ClipFunction)
def clip(
    input: torch.Tensor,
    clip_value_min: torch.Tensor | float,
    clip_value_max: torch.Tensor | float,
) -> torch.Tensor:
    """
    Return the input limited to ``[clip_value_min, clip_value_max]``.

    Parameters
    ----------
    input : Tensor
        Floating-point data of any shape.
    clip_value_min, clip_value_max : Tensor or float
        The bounds, which broadcast against `input`. Where the lower one is not below,
        it wins.

    Returns
    -------
    Tensor
        Of the shape and dtype of `input`. The gradients are those of PACT (Choi et al.,
        2018): of the input where it is strictly within, of a bound the sum over all
        inputs that lie at it or beyond.

    Raises
    ------
    ValueError
        If a bound does not broadcast, or is to be learned and no scalar.
    TypeError
        If the input is not floating-point.
    """
    low, high = as_tensor(clip_value_min, input), as_tensor(clip_value_max, input)
    found: torch.Tensor = applied(ClipFunction, input, low, high)
    return found
