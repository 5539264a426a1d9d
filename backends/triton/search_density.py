"""Triton: the density of `qcore.methods.density`, a row of counts in each program."""

import torch
import triton
import triton.language as tl

from qcore.backends.triton.search_grid import launch

BLOCK = 1024
"""Of the slots of a sign, so many are summed at once: more do not fit registers."""


@triton.jit
def fill_tails(
    counts_ptr, tails_ptr, slots, is_joint: tl.constexpr, block: tl.constexpr
):
    """Write the integrals beyond the slots of one sign, or of both added up.

    From counts int64 ``[C, 2, slots]`` to float64 ``[C, signs, 4, slots + 1]``: the
    columns of `qcore.methods.density.Tail` as rows, so that neighbouring edges read
    neighbouring numbers. The grid is ``(C, signs)``, one sign if they are added up.
    """
    channel, sign = tl.program_id(0).to(tl.int64), tl.program_id(1)
    length = slots + 1
    source = counts_ptr + (2 * channel + sign) * slots
    tail = tails_ptr + (channel * tl.num_programs(1) + sign) * 4 * length
    mass_beyond = tl.full((), 0.0, tl.float64)
    excess_beyond = tl.full((), 0.0, tl.float64)
    square_beyond = tl.full((), 0.0, tl.float64)
    start = 0
    while start < length:
        # From the far end, which is no slot and holds nothing.
        slot = slots - start - tl.arange(0, block)
        holds = (slot >= 0) & (slot < slots)
        count = tl.load(source + slot, mask=holds, other=0)
        if is_joint:
            count += tl.load(source + slots + slot, mask=holds, other=0)
        h = count.to(tl.float64)
        # A number less its last addend is what came before it but for the last bits
        # of an addend that is in the next sum, too.
        mass = mass_beyond + tl.cumsum(h, 0)
        addend = (mass - h) + h * 0.5
        excess = excess_beyond + tl.cumsum(addend, 0)
        other_addend = 2 * (excess - addend) + (mass - h) + h / 3
        square = square_beyond + tl.cumsum(other_addend, 0)
        mass_beyond += tl.sum(h, 0)
        excess_beyond += tl.sum(addend, 0)
        square_beyond += tl.sum(other_addend, 0)
        tl.store(tail + slot, h * 0.5, mask=slot >= 0)
        tl.store(tail + length + slot, mass, mask=slot >= 0)
        tl.store(tail + 2 * length + slot, excess, mask=slot >= 0)
        tl.store(tail + 3 * length + slot, square, mask=slot >= 0)
        start += block


@triton.jit
def placed(edge, slots):
    """Return the slots that hold edges from 0 on, and how far inside they lie."""
    held = tl.minimum(edge, slots)
    slot = tl.minimum(tl.maximum(held.to(tl.int32), 0), slots)
    return slot, held - slot


@triton.jit
def excess_beyond(tail, slots, edge):
    """Return J(b), the integral of (x - b) beyond edges b from 0 on."""
    slot, part = placed(edge, slots)
    length = slots + 1
    half = tl.load(tail + slot)
    mass = tl.load(tail + length + slot)
    excess = tl.load(tail + 2 * length + slot)
    return excess - part * (mass - part * half)


def tails_of(counts: torch.Tensor, *, is_joint: bool = False) -> torch.Tensor:
    """Return the tails of each sign, or of both together.

    float64 ``[C, signs, 4, slots + 1]``, in the order of `qcore.methods.density.Tail`.
    """
    counts = counts.contiguous()
    channels, signs, slots = counts.shape
    shape = channels, 1 if is_joint else signs, 4, slots + 1
    tails = counts.new_empty(shape, dtype=torch.float64)
    block = min(BLOCK, 1 << slots.bit_length())
    settings = {"is_joint": is_joint, "block": block}
    launch(fill_tails, shape[:2], counts, tails, slots, **settings)
    return tails
