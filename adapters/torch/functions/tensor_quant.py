"""`tensor_quant` and `fake_tensor_quant` with the gradients of pytorch-quantization.

Their arithmetic is `qcore.tensor_quant`; gradients pass straight through where
``-amax <= inputs <= amax``. The functions take keywords; their ``.apply``, and that of
the classes, is positional as in the original.
"""

from typing import Any, Unpack

import torch
from array_api_compat import torch as xp

import qcore
from qcore.adapters.torch.functions.calling import (
    Settings,
    applied,
    as_tensor,
    gradients_within,
    resolved,
    with_apply,
)


class TensorQuantFunction(torch.autograd.Function):
    """`tensor_quant`, for ``TensorQuantFunction.apply``: tensors, all by position."""

    # The last three are in either order. They are spelled out since Dynamo counts the
    # parameters to tell whether `forward` takes a context.
    generate_vmap_rule = True

    @staticmethod
    def forward(
        inputs: torch.Tensor,
        amax: torch.Tensor,
        num_bits: int = 8,
        output_dtype: torch.dtype | bool | None = None,
        unsigned: bool | None = None,
        narrow_range: torch.dtype | bool | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return outputs and scale."""
        stored, *settings = resolved(output_dtype, unsigned, narrow_range)
        found: tuple[torch.Tensor, torch.Tensor] = qcore.tensor_quant(
            inputs, amax, num_bits, *settings, output_dtype=stored, xp=xp
        )
        return found

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Remember the inputs and amax; the scale has no gradient."""
        ctx.save_for_backward(*inputs[:2])
        ctx.mark_non_differentiable(output[1])

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor, _: torch.Tensor) -> tuple[Any, ...]:
        """Return the gradient of the inputs where they are not clipped."""
        inputs, amax = ctx.saved_tensors
        return gradients_within(ctx, gradient, inputs, -amax, amax)


class FakeTensorQuantFunction(torch.autograd.Function):
    """`fake_tensor_quant`, for ``.apply``: tensors, all by position."""

    generate_vmap_rule = True

    @staticmethod
    def forward(
        inputs: torch.Tensor,
        amax: torch.Tensor,
        num_bits: int = 8,
        output_dtype: torch.dtype | bool | None = None,
        unsigned: bool | None = None,
        narrow_range: torch.dtype | bool | None = None,
    ) -> torch.Tensor:
        """Return the inputs, quantized and dequantized."""
        _, *settings = resolved(output_dtype, unsigned, narrow_range)
        found: torch.Tensor = qcore.fake_tensor_quant(
            inputs, amax, num_bits, *settings, xp=xp
        )
        return found

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Remember the inputs and amax."""
        del output
        ctx.save_for_backward(*inputs[:2])

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[Any, ...]:
        """Return the gradient of the inputs where they are not clipped."""
        inputs, amax = ctx.saved_tensors
        return gradients_within(ctx, gradient, inputs, -amax, amax)


class LegacyFakeTensorQuantFunction(FakeTensorQuantFunction):
    """The original's portable `fake_tensor_quant`; here it is the only one."""


@with_apply(TensorQuantFunction)
def tensor_quant(
    inputs: torch.Tensor,
    amax: torch.Tensor | float,
    num_bits: int = 8,
    *given: Any,
    **named: Unpack[Settings],
) -> tuple[torch.Tensor, torch.Tensor]:
    """
    Return integer values, stored as floats, and the scale that multiplied the inputs.

    Parameters
    ----------
    inputs : Tensor
        Floating-point data of any shape.
    amax : Tensor or float
        Largest magnitudes, not negative; broadcasts against `inputs`, so its shape is
        the granularity.
    num_bits : int, optional
        Width of the integers.
    output_dtype : torch.dtype, optional
        torch.float32 or torch.int32; by default that of `inputs`. Integers have no
        gradient, and hold NaN as the lowest one.
    unsigned : bool, optional
        Integers from 0 to ``2**num_bits - 1``; the inputs must not be negative.
    narrow_range : bool, optional
        Leave out the lowest integer of a signed range: [-127, 127] for 8 bits. This is
        the default.

    Returns
    -------
    outputs : Tensor
        ``clip(round(inputs * scale))``, of the shape of `inputs`. Its gradient passes
        to the inputs where ``-amax <= inputs <= amax``.
    scale : Tensor
        ``(2**(num_bits - 1 + unsigned) - 1) / amax``, of the shape of `amax` and the
        dtype of `inputs`, without a gradient; 1 where amax is at most 2**-24, whose
        outputs are 0. ``outputs / scale`` approximates `inputs`.

    Raises
    ------
    ValueError
        If `amax` is negative or does not broadcast, a float16 scale would exceed 65504
        or the output dtype is another one.
    TypeError
        If an input is negative and `unsigned` is true, or `inputs` is not
        floating-point.

    Notes
    -----
    By position the last three follow in this order, of the original's documentation, or
    as ``unsigned, narrow_range``, the order of its source: a bool in the fourth place
    is `unsigned`. While compiling, values are not checked.
    """
    found: tuple[torch.Tensor, torch.Tensor] = applied(
        TensorQuantFunction,
        inputs,
        as_tensor(amax, inputs),
        num_bits,
        *resolved(*given, **named),
    )
    return found


@with_apply(FakeTensorQuantFunction)
def fake_tensor_quant(
    inputs: torch.Tensor,
    amax: torch.Tensor | float,
    num_bits: int = 8,
    *given: Any,
    **named: Unpack[Settings],
) -> torch.Tensor:
    """
    Return ``outputs / scale`` of `tensor_quant`, of the shape and dtype of `inputs`.

    Parameters
    ----------
    inputs, amax, num_bits, output_dtype, unsigned, narrow_range
        As in `tensor_quant`; the output dtype is taken for the original's sake, and
        changes nothing.

    Returns
    -------
    Tensor
        Its gradient passes to the inputs where ``-amax <= inputs <= amax``.

    Raises
    ------
    ValueError, TypeError
        As `tensor_quant`, but that no scale is returned which could overflow.
    """
    found: torch.Tensor = applied(
        FakeTensorQuantFunction,
        inputs,
        as_tensor(amax, inputs),
        num_bits,
        *resolved(*given, **named),
    )
    return found


@with_apply(LegacyFakeTensorQuantFunction)
def legacy_fake_tensor_quant(
    inputs: torch.Tensor,
    amax: torch.Tensor | float,
    num_bits: int = 8,
    *given: Any,
    **named: Unpack[Settings],
) -> torch.Tensor:
    """Return what `fake_tensor_quant` does, under the name of its former self."""
    return fake_tensor_quant(inputs, amax, num_bits, *given, **named)
