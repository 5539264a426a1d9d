"""`fake_affine_tensor_quant` of pytorch-quantization, with its gradient."""

from typing import Any

import torch
from array_api_compat import torch as xp

from qcore.adapters.torch.functions.calling import (
    applied,
    as_tensor,
    gradients_within,
    with_apply,
)
from qcore.tensor_quant import fake_affine_tensor_quant as portable


class FakeAffineTensorQuantFunction(torch.autograd.Function):
    """`fake_affine_tensor_quant`, for ``.apply``: tensors, all by position."""

    generate_vmap_rule = True

    @staticmethod
    def forward(
        inputs: torch.Tensor,
        min_range: torch.Tensor,
        max_range: torch.Tensor,
        num_bits: int = 8,
    ) -> torch.Tensor:
        """Return the inputs, quantized and dequantized."""
        found: torch.Tensor = portable(inputs, min_range, max_range, num_bits, xp=xp)
        return found

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Remember the inputs and the range."""
        del output
        ctx.save_for_backward(*inputs[:3])

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[Any, ...]:
        """Return the gradient of the inputs within the range."""
        return gradients_within(ctx, gradient, *ctx.saved_tensors)


@with_apply(FakeAffineTensorQuantFunction)
def fake_affine_tensor_quant(
    inputs: torch.Tensor,
    min_range: torch.Tensor | float,
    max_range: torch.Tensor | float,
    num_bits: int = 8,
) -> torch.Tensor:
    """
    Return the inputs rounded to ``2**num_bits`` levels between two ends.

    Experimental in the original; the asymmetric quantization of modules and exported
    models is that of `qcore.QuantSpec`, whose range always holds zero.

    Parameters
    ----------
    inputs : Tensor
        Floating-point data of any shape.
    min_range, max_range : Tensor or float
        Ends of the range; they broadcast against `inputs`.
    num_bits : int, optional
        From 2 to 16.

    Returns
    -------
    Tensor
        Of the shape and dtype of `inputs`: whole multiples of
        ``(max_range - min_range) / (2**num_bits - 1)``. Its gradient passes to the
        inputs where ``min_range <= inputs <= max_range``.

    Raises
    ------
    ValueError
        If an end does not broadcast or is not below the other one.
    TypeError
        If `inputs` is not floating-point.
    """
    low, high = as_tensor(min_range, inputs), as_tensor(max_range, inputs)
    found: torch.Tensor = applied(
        FakeAffineTensorQuantFunction, inputs, low, high, num_bits
    )
    return found
