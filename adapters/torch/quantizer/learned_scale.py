"""Scales that are learned: "Learned Step Size Quantization" (arXiv:1902.08153)."""

from math import sqrt

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
    held = parameter.detach()
    # The difference is zero, exactly; what it is multiplied by is the gradient.
    damped = held + (parameter - held) * (1 / sqrt(shared * spec.format.max))
    return damped.to(torch.float32).abs().clamp(min=TINY)
