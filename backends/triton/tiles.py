"""Where a program finds its elements, their scales, and where its sums go.

The data is a list of lines, each of `line` items and cut into pieces of `size`, the
last of which may be short. Items are elements that share their piece's scale (*along*),
or they are rows of `inner` elements, of which each column of a piece has a scale.
"""

import triton
import triton.language as tl


@triton.jit
def tile(
    pieces,
    per_line,
    line,
    size,
    inner,
    scales,
    is_along: tl.constexpr,
    is_cut: tl.constexpr,
    is_cyclic: tl.constexpr,
    is_wide: tl.constexpr,
    rows: tl.constexpr,
    columns: tl.constexpr,
):
    """Return offsets and masks: of elements, of scales, and of partial sums.

    `per_line` counts the pieces of a line, which `is_cut` if there are several, and
    `scales` the pieces after which scales repeat if they do, being `is_cyclic`.
    `is_wide` asks for 64-bit offsets.
    """
    program = tl.program_id(0)
    if is_wide:
        program = program.to(tl.int64)
    if is_along:
        column_blocks = tl.cdiv(size, columns)
        group = program // column_blocks
        block = program % column_blocks
        column = block * columns + tl.arange(0, columns)
        if rows == 1:
            piece = group
        else:
            piece = (group * rows + tl.arange(0, rows))[:, None]
            column = column[None, :]
        item = column
        summed = piece * column_blocks + block
    else:
        column_blocks = tl.cdiv(inner, columns)
        row_blocks = tl.cdiv(size, rows)
        group = program // column_blocks
        piece = group // row_blocks
        item = (group % row_blocks * rows + tl.arange(0, rows))[:, None]
        column = (program % column_blocks * columns + tl.arange(0, columns))[None, :]
        summed = group * inner + column
    if is_cut:
        place = piece % per_line
        start = piece // per_line * line + place * size
        length = tl.minimum(line - place * size, size)
    else:
        start = piece * line
        length = size
    if is_along:
        offset = start + item
        is_there = piece < pieces
        mask = is_there & (item < length)
        scale = piece % scales if is_cyclic else piece
    else:
        offset = (start + item) * inner + column
        is_there = column < inner
        mask = (item < length) & is_there
        scale = piece * inner + column
    return offset, mask, scale, is_there, summed
