"""Triton: what rounding to codes gains over rounding all to zero, for many steps.

The sums over codes of `qcore.methods.squared_error`. A lane has a step: neighbouring
steps put the edge of a code into neighbouring slots, which one access to memory reads.
"""

import triton
import triton.language as tl

from qcore.backends.triton.search_density import excess_beyond
from qcore.backends.triton.search_grid import allowed_of


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
    block: tl.constexpr,
):
    """Add the gain of the codes of one side, at zero point 0, where allowed.

    The pointer to tails is that to the first one of the side, the stride that from
    channel to channel.
    """
    channel, candidate, at, _, allowed = allowed_of(allowed_ptr, candidates, block)
    tail = tails_ptr + channel * tail_stride
    steps = steps_ptr + channel * steps_stride
    step = tl.load(steps + candidate, mask=allowed, other=0.0)
    gain = tl.load(gains_ptr + at, mask=allowed, other=0.0)
    code, number = 0, codes * tl.max(allowed.to(tl.int32), 0)
    while code < number:
        edge = step * tl.load(edges_ptr + code)
        gain += tl.load(spans_ptr + code) * excess_beyond(tail, slots, edge)
        code += 1
    tl.store(gains_ptr + at, gain, mask=allowed)


@triton.jit
def find_below(
    tails_ptr,
    slots,
    steps_ptr,
    steps_stride,
    allowed_ptr,
    candidates,
    codes,
    highest,
    below_ptr,
    block: tl.constexpr,
):
    """Write how many codes are best below zero, where allowed.

    As `qcore.methods.squared_error.best_below` does; the highest power of two in the
    number of codes is `highest`. The tails are those of both signs.
    """
    channel, candidate, at, _, allowed = allowed_of(allowed_ptr, candidates, block)
    tails = tails_ptr + channel * 8 * (slots + 1)
    other = tails + 4 * (slots + 1)
    steps = steps_ptr + channel * steps_stride
    step = tl.load(steps + candidate, mask=allowed, other=0.0)
    below = tl.zeros_like(step)
    number = highest * tl.max(allowed.to(tl.int32), 0)
    while number > 0:
        more = below + number
        gained = excess_beyond(tails, slots, step * (more - 0.5))
        reach = tl.maximum(codes - more + 0.5, 0.0)
        lost = excess_beyond(other, slots, step * reach)
        below = tl.where((more <= codes) & (gained > lost), more, below)
        number = number // 2
    tl.store(below_ptr + at, below, mask=allowed)


@triton.jit
def affine_gain(
    tails_ptr,
    slots,
    steps_ptr,
    steps_stride,
    allowed_ptr,
    candidates,
    codes,
    below_ptr,
    gains_ptr,
    block: tl.constexpr,
):
    """Write the gain of codes of which so many lie below zero, where allowed.

    The tails are those of both signs.
    """
    channel, candidate, at, _, allowed = allowed_of(allowed_ptr, candidates, block)
    tails = tails_ptr + channel * 8 * (slots + 1)
    steps = steps_ptr + channel * steps_stride
    step = tl.load(steps + candidate, mask=allowed, other=0.0)
    below = tl.load(below_ptr + at, mask=allowed, other=0.0)
    gain = tl.zeros_like(step)
    code, number = 0, codes * tl.max(allowed.to(tl.int32), 0)
    while code < number:
        edge = step * (code - below + 0.5)
        tail = tails + tl.where(edge > 0, 4 * (slots + 1), 0)
        gain += excess_beyond(tail, slots, tl.abs(edge))
        code += 1
    tl.store(gains_ptr + at, gain, mask=allowed)
