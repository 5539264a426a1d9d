"""NumPy: the groups of all windows of the entropy search from one table."""

from typing import Any

import numpy as np

from qcore.methods.divergence import (
    group_information,
    merged_information,
    running_sums,
)

NAME = "numpy"


@merged_information.accelerate(NAME)
def _(
    line: np.ndarray,
    first: np.ndarray,
    last: np.ndarray,
    allowed: np.ndarray,
    cells: tuple[float, ...],
    /,
) -> Any:
    """Look up every group of the equal-width case in a table.

    The groups of a window of ``n * m + r`` slots are n or n + 1 slots wide, and the
    pattern of the wider ones depends on r alone. So there are few distinct groups, each
    needed by many windows, and no logarithm is taken twice.
    """
    groups = len(cells) - 1
    slots, windows = line.shape[1], first.shape[1]
    is_even = cells == tuple(k / groups for k in range(groups + 1))
    if not is_even or groups > slots or groups * groups * windows < slots * slots:
        return NotImplemented  # few groups need fewer logarithms than the table has
    pattern = -(-np.arange(groups)[:, None] * np.arange(groups + 1) // groups)
    wider = np.diff(pattern)
    order = np.arange(groups)
    shape = (len(line), first.shape[1])
    first, last = np.broadcast_to(first, shape), np.broadcast_to(last, shape)
    result = np.zeros(shape)
    for channel in range(len(line)):
        (window,) = np.nonzero(allowed[channel])
        if not len(window):
            continue
        start = first[channel, window]
        widths, rests = np.divmod(last[channel, window] - start, groups)
        reach = int(start.max()) + groups
        least, widest = int(widths.min()), int(widths.max()) + 1
        table = _group_table(line[channel : channel + 1], least, widest, reach)
        places = pattern[:, :-1] + wider * table.shape[1]
        moved = start.any()
        sums = np.empty(len(window))
        parts = [np.nonzero(widths == width)[0] for width in np.unique(widths)]
        # Kept for all widths: the allocator would map and clear fresh pages for each.
        indices = np.empty((max(map(len, parts)), groups), np.int64)
        terms = np.empty(indices.shape)
        for part in parts:
            width = int(widths[part[0]])
            index, term = indices[: len(part)], terms[: len(part)]
            places.take(rests[part], axis=0, out=index, mode="clip")
            index += width * order
            if moved:
                index += start[part, None]
            two_rows = table[width - least : width - least + 2].reshape(-1)
            two_rows.take(index, out=term, mode="clip")
            sums[part] = term.sum(axis=-1)
        result[channel, window] = sums
    return result


def _group_table(line: np.ndarray, least: int, widest: int, reach: int) -> np.ndarray:
    """Return what groups contribute, ``[widest + 1 - least, L]``.

    By width from the least on and by first slot. A group of width w starts within
    ``(w + 1) * reach`` slots, where `reach` is the largest first slot of a window plus
    the number of groups.
    """
    sums = running_sums(line, xp=np)
    slots = line.shape[1]
    table = np.zeros((widest + 1 - least, slots + 1))
    for width in range(max(least, 1), min(widest, slots) + 1):
        starts = min(slots + 1 - width, reach * (width + 1))
        group, filled = (
            x[0, width : width + starts] - x[0, :starts]
            for x in (sums.count, sums.filled)
        )
        table[width - least, :starts] = group_information(group, filled, xp=np)
    return table
