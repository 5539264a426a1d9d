"""`scaled_e4m3` of pytorch-quantization: float8 with a scale, with its gradient.

The inputs are divided by ``amax / 448``, as a deployed model does; the original
multiplies by ``448 / amax``, which rounds some ties the other way.
"""

from typing import Any

import torch
from array_api_compat import torch as xp

import qcore
from qcore.adapters.torch.functions.calling import (
    applied,
    as_tensor,
    gradients_within,
    with_apply,
)
from qcore.adapters.torch.operators.fake_quantize import fake_quantize

_SPEC = qcore.QuantSpec("float8_e4m3fn")


class ScaledE4M3Function(torch.autograd.Function):
    """`scaled_e4m3`, for ``.apply``: tensors, all by position."""

    generate_vmap_rule = True

    @staticmethod
    def forward(
        inputs: torch.Tensor,
        amax: torch.Tensor | None = None,
        E: int = 4,  # noqa: N803 - the original's names, which keywords use
        M: int = 3,  # noqa: N803
    ) -> torch.Tensor:
        """Return the inputs rounded to float8."""
        if (E, M) != (4, 3):
            raise NotImplementedError(f"`E` and `M` must be 4 and 3; got {E} and {M}.")
        qparams = qcore.qparams_from_amax(_known(amax, inputs), _SPEC, xp=xp)
        return fake_quantize(inputs, qparams)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Remember the inputs and amax."""
        del output
        ctx.save_for_backward(*inputs[:2])

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[Any, ...]:
        """Return the gradient of the inputs where they do not saturate."""
        inputs, amax = ctx.saved_tensors
        amax = _known(amax, inputs)
        return gradients_within(ctx, gradient, inputs, -amax, amax)


def _known(amax: torch.Tensor | None, inputs: torch.Tensor) -> torch.Tensor:
    """Return amax; where there is none, the format's own."""
    if amax is None:
        return torch.full((), float(_SPEC.format.max), device=inputs.device)
    return amax.detach()


@with_apply(ScaledE4M3Function)
def scaled_e4m3(
    inputs: torch.Tensor,
    amax: torch.Tensor | float | None = None,
    E: int = 4,  # noqa: N803
    M: int = 3,  # noqa: N803
) -> torch.Tensor:
    """
    Return the inputs rounded to float8_e4m3fn, which `amax` is mapped to the end of.

    Parameters
    ----------
    inputs : Tensor
        Floating-point data of any shape.
    amax : Tensor or float, optional
        Largest magnitudes, not negative; broadcasts against `inputs`, where the
        original takes one alone.
        None is 448, the largest number of the format: the inputs are cast as they are.
        So they are where amax is less than 2**-126.
    E, M : int, optional
        Widths of exponent and mantissa: 4 and 3, no others.

    Returns
    -------
    Tensor
        Of the shape and dtype of `inputs`; saturates, and NaN stays NaN. Its gradient
        passes to the inputs where ``-amax <= inputs <= amax``.

    Raises
    ------
    NotImplementedError
        If `E` and `M` are others.
    ValueError
        If `amax` does not broadcast.
    TypeError
        If `inputs` is not floating-point.
    """
    beside = None if amax is None else as_tensor(amax, inputs)
    found: torch.Tensor = applied(ScaledE4M3Function, inputs, beside, E, M)
    return found
