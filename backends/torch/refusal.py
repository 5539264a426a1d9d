"""Which tensors Triton's kernels are kept from, said before Triton is imported."""

import os

import torch

from qcore.backends.torch.library import unplain
from qcore.kernels import Declined, declined

INTERPRETED = os.environ.get("TRITON_INTERPRET", "0") == "1"
"""Whether Triton runs its kernels in Python, on tensors of the CPU."""


def refusal(
    x: torch.Tensor, /, *others: object, has_gradient: bool = True
) -> Declined | None:
    """
    Return why Triton does not serve a call, if so.

    Parameters
    ----------
    x : torch.Tensor
        The first argument of a kernel.
    *others : object
        The other ones; what is no tensor is ignored.
    has_gradient : bool, optional
        Whether autograd would follow the result. It follows no codes and no counts, so
        these are served of tensors that it follows.
    """
    if x.is_cuda:
        if torch.version.hip is not None:
            return declined("Triton is not used on AMD's devices")
    elif not INTERPRETED:
        return declined("Triton is for CUDA tensors")
    if any(isinstance(y, torch.Tensor) and y.device != x.device for y in others):
        return declined("the tensors are on different devices")
    with torch.set_grad_enabled(has_gradient and torch.is_grad_enabled()):
        reason = unplain(x, *others)
    return None if reason is None else declined(reason)
