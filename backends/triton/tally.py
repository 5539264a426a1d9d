"""Counting on the dyadic grid: one pass over the data where the grid is known.

Each element adds one in a table in global memory. A few copies of it, taken in turn,
keep programs out of each other's way. What grew beyond its grid is counted again by
programs that return at once where nothing did: the host never waits.
"""

from typing import Any

import torch
import triton
import triton.language as tl

from qcore.backends.triton.launch import EXACT, on_device_of
from qcore.backends.triton.layout import WARPS, WIDE
from qcore.backends.triton.rounding import widened
from qcore.statistics.tally import EXPONENTS, K_MAX, K_MIN, Tally

TILE = 2048
"""Elements that a program looks at in one go."""
MOST_TILES = 32
"""Tiles of a program; its 8-bit counters hold 127."""
COPIES = 64
"""Tables in all, where there are few rows."""

LOWEST = 0x7F800000
HIGHEST = -0x7F800001
"""Keys of infinity and its negative: where the range of no values at all starts."""


@triton.jit
def count_kernel(
    x_ptr,
    keep_ptr,
    k_ptr,
    gate_ptr,
    table_ptr,
    range_ptr,
    sums_ptr,
    length,
    parts,
    copies,
    slots: tl.constexpr,
    exponents: tl.constexpr,
    has_keep: tl.constexpr,
    has_gate: tl.constexpr,
    is_counting: tl.constexpr,
    is_summing: tl.constexpr,
    is_wide: tl.constexpr,
    tile: tl.constexpr,
    tiles: tl.constexpr,
):
    """Count a part of a row, if `is_counting`; note range and rest, if `is_summing`."""
    program = tl.program_id(0)
    row = program // parts
    part = program % parts
    if has_gate:
        if tl.load(gate_ptr + row) == 0:
            return
    rows = tl.num_programs(0) // parts
    if is_wide:
        row = row.to(tl.int64)
        part = part.to(tl.int64)
    width: tl.constexpr = slots + exponents
    k = tl.load(k_ptr + row)
    inverse = ((127 - k) << 23).to(tl.float32, bitcast=True)
    table = table_ptr + (part % copies * rows + row).to(tl.int64) * (2 * width)
    lowest = tl.full([tile], 0x7F800000, tl.int32)
    highest = tl.full([tile], -0x7F800001, tl.int32)
    others = tl.zeros([tile], tl.int32)
    for i in range(tiles):
        column = (part * tiles + i) * tile + tl.arange(0, tile)
        mask = column < length
        offset = row * length + column
        if has_keep:
            mask = mask & (tl.load(keep_ptr + offset, mask=mask, other=0) != 0)
        x = widened(tl.load(x_ptr + offset, mask=mask, other=0.0)).to(tl.float32)
        pattern = x.to(tl.int32, bitcast=True)
        magnitude = pattern & 0x7FFFFFFF
        is_finite = mask & (magnitude < 0x7F800000)
        has_slot = is_finite & (magnitude >= 0x00800000)
        if is_summing:
            key = tl.where(has_slot, pattern ^ ((pattern >> 31) & 0x7FFFFFFF), 0)
            lowest = tl.where(is_finite, tl.minimum(lowest, key), lowest)
            highest = tl.where(is_finite, tl.maximum(highest, key), highest)
            is_inf = mask & (magnitude == 0x7F800000)
            others += (is_finite & (magnitude < 0x00800000)).to(tl.int32)
            others += (mask & (magnitude > 0x7F800000)).to(tl.int32) << 8
            others += tl.where(is_inf, tl.where(pattern < 0, 1 << 16, 1 << 24), 0)
        if is_counting:
            width_of_x = tl.minimum(tl.abs(x) * inverse, slots * 1.0)
            slot = tl.where(has_slot, width_of_x, 0.0).to(tl.int32)
            place = tl.where(slot > 0, slot, slots + (magnitude >> 23))
            place += tl.where(pattern > 0, width, 0)
            ones = tl.full([tile], 1, tl.int64)
            here = has_slot & (slot < slots)
            tl.atomic_add(table + place, ones, mask=here, sem="relaxed")
    if is_summing:
        tl.atomic_min(range_ptr + 2 * row, tl.min(lowest, axis=0), sem="relaxed")
        tl.atomic_max(range_ptr + 2 * row + 1, tl.max(highest, axis=0), sem="relaxed")
        for i in tl.static_range(4):
            total = tl.sum((others >> (8 * i)) & 127, axis=0).to(tl.int64)
            tl.atomic_add(sums_ptr + 4 * row + i, total, mask=total > 0, sem="relaxed")


@triton.jit
def clear_kernel(gate_ptr, table_ptr, rows, width: tl.constexpr, tile: tl.constexpr):
    """Set the table of a row to zero, if its gate is open."""
    row = tl.program_id(0)
    if tl.load(gate_ptr + row % rows) == 0:
        return
    for start in range(0, width, tile):
        place = start + tl.arange(0, tile)
        offset = row.to(tl.int64) * width + place
        tl.store(table_ptr + offset, tl.zeros([tile], tl.int64), mask=place < width)


def tally(
    rows: torch.Tensor, keep: torch.Tensor | None, slots: int, k: torch.Tensor | None, /
) -> Tally:
    """
    Return the counts of rows, as the reference has them.

    Parameters
    ----------
    rows : torch.Tensor
        Contiguous floating-point data ``[C, M]`` with elements.
    keep : torch.Tensor or None
        Contiguous booleans of that shape: which count.
    slots : int
        Slots for each sign, a power of two.
    k : torch.Tensor or None
        int32 ``[C]``: log2 of the width to start from.
    """
    channels, length = rows.shape
    tiles = min(MOST_TILES, 1 << (-(-length // TILE) - 1).bit_length())
    parts = -(-length // (TILE * tiles))
    copies = max(1, min(COPIES // channels, parts))
    width = slots + EXPONENTS

    def new(*shape: int, dtype: torch.dtype = torch.int64) -> torch.Tensor:
        return torch.zeros(shape, dtype=dtype, device=rows.device)

    table = new(copies, channels, 2, width)
    sums = new(channels, 4)
    ends = new(channels, 2, dtype=torch.int32)
    ends[:, 0], ends[:, 1] = LOWEST, HIGHEST
    told: dict[str, Any] = {
        "length": length,
        "parts": parts,
        "copies": copies,
        "slots": slots,
        "exponents": EXPONENTS,
        "has_keep": keep is not None,
        "is_wide": rows.numel() >= WIDE,
        "tile": TILE,
        "tiles": tiles,
        "num_warps": WARPS,
        **EXACT,
    }
    mask = rows if keep is None else keep.view(torch.int8)
    first = ends[:, 0].contiguous() if k is None else k.to(torch.int32).contiguous()
    count = count_kernel[(channels * parts,)]
    with on_device_of(rows):
        steps = {"has_gate": False, "is_counting": k is not None, "is_summing": True}
        count(rows, mask, first, first, table, ends, sums, **told, **steps)
        least = _least_k(ends, slots)
        wider = least if k is None else torch.maximum(least, first)
        gate = torch.ones_like(wider) if k is None else (wider > first).to(torch.int32)
        if k is not None:
            clear_kernel[(copies * channels,)](
                gate, table, channels, width=2 * width, tile=1024, **EXACT
            )
        steps = {"has_gate": True, "is_counting": True, "is_summing": False}
        count(rows, mask, wider, gate, table, ends, sums, **told, **steps)
        total = table.sum(0)
    exponents = total[..., slots:].contiguous()
    counts = total[..., :slots].contiguous()
    counts[..., 0] = exponents.sum(-1)
    patterns = (ends ^ ((ends >> 31) & 0x7FFFFFFF)).view(torch.float32)
    return Tally(
        counts=counts,
        exponents=exponents,
        k=wider,
        min=patterns[:, 0].contiguous(),
        max=patterns[:, 1].contiguous(),
        zeros=sums[:, 0].contiguous(),
        nans=sums[:, 1].contiguous(),
        infs=sums[:, 2:].contiguous(),
    )


def _least_k(ends: torch.Tensor, slots: int, /) -> torch.Tensor:
    """Return the k whose slots hold all values between two keys; see `least_k`."""
    magnitude = torch.maximum(ends[:, 1], ~ends[:, 0]).clamp(min=0)
    k = (magnitude >> 23) - 126 - (slots.bit_length() - 1)
    return k.clamp(K_MIN, K_MAX)
