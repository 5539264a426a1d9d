"""PyTorch: the tail integrals of the density, by Triton."""

import torch

from qcore.backends.torch.search_launch import launch
from qcore.backends.triton.search_density import fill_tails

BLOCK = 1024
"""Of the slots of a sign, so many are summed at once: more do not fit registers."""


def tails_of(counts: torch.Tensor, *, is_joint: bool = False) -> torch.Tensor:
    """Return the tails of each sign, or of both together.

    float64 ``[C, signs, 4, slots + 1]``, in the order of `qcore.methods.density.Tail`.
    """
    counts = counts.contiguous()
    channels, signs, slots = counts.shape
    shape = channels, 1 if is_joint else signs, 4, slots + 1
    tails = counts.new_empty(shape, dtype=torch.float64)
    block = min(BLOCK, 1 << slots.bit_length())
    settings = {"IS_JOINT": is_joint, "BLOCK": block}
    launch(fill_tails, shape[:2], counts, tails, slots, **settings)
    return tails
