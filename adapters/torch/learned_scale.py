"""Scales that are learned: "Learned Step Size Quantization" (arXiv:1902.08153)."""

from math import sqrt
from typing import Any

import torch

from qcore.arithmetic import TINY
from qcore.spec import QuantSpec


def scale_of(
    parameter: torch.Tensor, x: torch.Tensor, spec: QuantSpec, /
) -> torch.Tensor:
    """
    Return the scale that a parameter stands for, its gradient that of the paper.

    Parameters
    ----------
    parameter : Tensor
        Float, of the shape of the scales; what is not positive counts by magnitude.
    x : Tensor
        The data, whose elements that share a scale damp its gradient:
        ``1 / sqrt(elements * qmax)``.
    spec : QuantSpec
        Has qmax.
    """
    shared = max(1, x.numel()) / parameter.numel()
    damped = _Damped.apply(parameter, 1 / sqrt(shared * spec.format.max))
    return damped.to(torch.float32).abs().clamp(min=TINY)  # type: ignore[no-any-return]


class _Damped(torch.autograd.Function):
    """The identity, whose gradient is multiplied by a number."""

    @staticmethod
    def forward(x: torch.Tensor, factor: float) -> torch.Tensor:  # type: ignore[override]
        del factor
        return x.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
        del output
        ctx.factor = inputs[1]

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:  # type: ignore[override]
        return gradient * ctx.factor, None
