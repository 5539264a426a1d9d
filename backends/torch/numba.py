"""PyTorch: compiled CPU kernels, which see the memory of tensors as it is."""

from collections.abc import Sequence

import numpy as np
import torch

from qcore.backends.numba.kernels import register
from qcore.backends.numba.lending import Lender
from qcore.backends.torch.library import unplain


def _reason(tensors: Sequence[torch.Tensor]) -> str | None:
    """Return why the memory of tensors is out of reach."""
    if any(x.device.type != "cpu" for x in tensors):
        return "a tensor is not on the CPU"
    return unplain(*tensors)


def _to_numpy(x: torch.Tensor) -> np.ndarray:
    """Return the same memory; bfloat16, which NumPy lacks, as patterns."""
    if x.requires_grad:
        x = x.detach()
    if x.dtype == torch.bfloat16:
        x = x.view(torch.int16)
    found: np.ndarray = x.numpy()
    return found


def _from_numpy(x: np.ndarray, like: torch.Tensor, is_like: bool) -> torch.Tensor:
    found = torch.from_numpy(x)
    return found.view(like.dtype) if is_like else found


register("torch", Lender(torch.Tensor, _reason, _to_numpy, _from_numpy).lent)
