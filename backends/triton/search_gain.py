"""Triton: what rounding to codes gains over rounding all to zero, for many steps.

The sums over codes of `qcore.methods.squared_error`. A lane has a step: neighbouring
steps put the edge of a code into neighbouring slots, which one access to memory reads.
"""

import triton
import triton.language as tl

from qcore.backends.triton.search_density import excess_beyond


@triton.jit
def add_gain(
    tails_ptr,
    tail_stride,
    slots,
    steps_ptr,
    steps_stride,
    allowed_ptr,
    candidates,
    edges_ptr,
    spans_ptr,
    codes,
    gains_ptr,
    BLOCK: tl.constexpr,
):
    """Add the gain of the codes of one side, at zero point 0, where allowed.

    The grid is ``(blocks of candidates, C)``. Of tails of several signs the pointer is
    that of the first tail of the side, the stride that from channel to channel.
    """
    channel = tl.program_id(1).to(tl.int64)
    tail = tails_ptr + channel * tail_stride
    candidate = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    there = candidate < candidates
    at = channel * candidates + candidate
    allowed = tl.load(allowed_ptr + at, mask=there, other=0) != 0
    step = tl.load(
        steps_ptr + channel * steps_stride + candidate, mask=allowed, other=0.0
    )
    gain = tl.load(gains_ptr + at, mask=allowed, other=0.0)
    number = codes * tl.max(allowed.to(tl.int32), 0)
    code = 0
    while code < number:
        edge = step * tl.load(edges_ptr + code)
        gain += tl.load(spans_ptr + code) * excess_beyond(tail, slots, edge)
        code += 1
    tl.store(gains_ptr + at, gain, mask=allowed)


@triton.jit
def best_below(tails, slots, step, codes, highest):
    """Return how many codes are best below zero, as the portable function does.

    Of `codes`, the highest power of two in which is `highest`.
    """
    other = tails + 4 * (slots + 1)
    below = tl.zeros_like(step)
    number = highest
    while number > 0:
        more = below + number
        gained = excess_beyond(tails, slots, step * (more - 0.5))
        reach = tl.maximum(codes - more + 0.5, 0.0)
        lost = excess_beyond(other, slots, step * reach)
        below = tl.where((more <= codes) & (gained > lost), more, below)
        number = number // 2
    return below


@triton.jit
def affine_gain(
    tails_ptr,
    slots,
    steps_ptr,
    steps_stride,
    allowed_ptr,
    candidates,
    codes,
    highest,
    below_ptr,
    gains_ptr,
    IS_SEARCHED: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Write the gain of codes of which so many lie below zero, where allowed.

    If searched, write the best number of codes below zero, too. The grid is ``(blocks
    of candidates, C)``, the tails are those of both signs.
    """
    channel = tl.program_id(1).to(tl.int64)
    tails = tails_ptr + channel * 8 * (slots + 1)
    candidate = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    there = candidate < candidates
    at = channel * candidates + candidate
    allowed = tl.load(allowed_ptr + at, mask=there, other=0) != 0
    step = tl.load(
        steps_ptr + channel * steps_stride + candidate, mask=allowed, other=0.0
    )
    is_of_interest = tl.max(allowed.to(tl.int32), 0)
    if IS_SEARCHED:
        below = best_below(tails, slots, step, codes, highest * is_of_interest)
        tl.store(below_ptr + at, below, mask=allowed)
    else:
        below = tl.load(below_ptr + at, mask=allowed, other=0.0)
    gain = tl.zeros_like(step)
    code, number = 0, codes * is_of_interest
    while code < number:
        edge = step * (code + 0.5 - below)
        tail = tails + tl.where(edge > 0, 4 * (slots + 1), 0)
        gain += excess_beyond(tail, slots, tl.abs(edge))
        code += 1
    tl.store(gains_ptr + at, gain, mask=allowed)
