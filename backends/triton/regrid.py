"""Counts on wider grids, each slot added to the one that it falls into."""

import torch
import triton
import triton.language as tl

from qcore.backends.triton.launch import EXACT, on_device_of
from qcore.statistics.tally import EXPONENTS

TILE = 1024
"""Slots of a program."""


@triton.jit
def regrid_kernel(
    counts_ptr,
    k_ptr,
    new_k_ptr,
    coarse_ptr,
    exponents_ptr,
    slots: tl.constexpr,
    doublings: tl.constexpr,
    exponents: tl.constexpr,
    tile: tl.constexpr,
):
    """Add a tile of the slots of a row and sign to wider slots, or to exponents."""
    tiles: tl.constexpr = (slots + tile - 1) // tile
    program = tl.program_id(0)
    line = (program // tiles).to(tl.int64)
    row = line // 2
    k = tl.load(k_ptr + row)
    folds = tl.minimum(tl.load(new_k_ptr + row) - k, doublings)
    slot = program % tiles * tile + tl.arange(0, tile)
    mask = slot < slots
    count = tl.load(counts_ptr + line * slots + slot, mask=mask, other=0)
    if folds == 0:
        tl.store(coarse_ptr + line * slots + slot, count, mask=mask)
    else:
        wider = slot >> folds
        is_some = mask & (count != 0)
        place = coarse_ptr + line * slots + wider
        tl.atomic_add(place, count, mask=is_some, sem="relaxed")
        # The exponent of a number from 1 to 2**24 is in its float32 pattern.
        octave = (slot.to(tl.float32).to(tl.int32, bitcast=True) >> 23) - 127
        field = k + octave + 127
        is_new = is_some & (slot > 0) & (wider == 0) & (field < exponents)
        place = exponents_ptr + line * exponents + field
        tl.atomic_add(place, count, mask=is_new, sem="relaxed")


def regrid(
    counts: torch.Tensor, exponents: torch.Tensor, k: torch.Tensor, new_k: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """
    Return counts and exponents on wider grids, as the reference has them.

    Parameters
    ----------
    counts, exponents : torch.Tensor
        Contiguous int64 ``[C, 2, slots]`` and ``[C, 2, 256]``.
    k, new_k : torch.Tensor
        Contiguous int32 ``[C]``, the latter not less.
    """
    channels, _, slots = counts.shape
    coarse, gained = torch.zeros_like(counts), exponents.clone()
    tile = min(TILE, slots)
    with on_device_of(counts):
        regrid_kernel[(2 * channels * (slots // tile),)](
            counts,
            k,
            new_k,
            coarse,
            gained,
            slots=slots,
            doublings=slots.bit_length() - 1,
            exponents=EXPONENTS,
            tile=tile,
            **EXACT,
        )
    return coarse, gained
