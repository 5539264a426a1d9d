"""Triton: which candidates of which channel are a program's."""

import triton
import triton.language as tl


@triton.jit
def candidates_of(candidates, BLOCK: tl.constexpr):
    """Return the channel of a program, and the numbers of its candidates.

    A grid of one axis, of which alone CUDA lets there be more than 65535. The programs
    of a channel follow one another and find its tables in the cache.
    """
    chunks = tl.cdiv(candidates, BLOCK)
    program = tl.program_id(0)
    channel = (program // chunks).to(tl.int64)
    return channel, (program % chunks) * BLOCK + tl.arange(0, BLOCK)
