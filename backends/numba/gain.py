"""What rounding to codes gains over rounding all to zero, one step at a time.

The sums over codes of `qcore.methods.squared_error`, which end where values do.
"""

from functools import cache

import numpy as np

from qcore.backends.numba.compile import compiled
from qcore.backends.numba.density import excess_beyond, excess_within
from qcore.formats import Format
from qcore.methods.squared_error import cells_of


@cache
def joined_cells(fmt: Format) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return edges and spans of all rounding cells, and where those of a kind begin."""
    cells = cells_of(fmt)
    edges, spans = (np.concatenate(parts) for parts in zip(*cells, strict=True))
    return edges, spans, np.cumsum([0, *(len(part.edges) for part in cells)])


@compiled
def symmetric_gain(
    step: float,
    tails: np.ndarray,
    used: np.ndarray,
    edges: np.ndarray,
    spans: np.ndarray,
    ends: np.ndarray,
) -> float:
    """Return the sum over the codes of some sides, whose edges lie one after another.

    Those of side i begin at ``ends[i]``.
    """
    total = 0.0
    for side in range(len(ends) - 1):
        for i in range(ends[side], ends[side + 1]):
            edge = step * edges[i]
            if edge >= used[side]:
                break
            total += spans[i] * excess_within(tails[side], edge)
    return total


@compiled
def affine_gain(
    step: float, below: float, codes: int, tails: np.ndarray, used: np.ndarray
) -> float:
    """Return the sum over codes of which so many lie below zero."""
    total = 0.0
    for side in range(2):
        number = below if side == 0 else codes - below
        number = min(number, np.ceil(used[side] / step + 0.5))
        for i in range(int(number)):
            edge = step * (i + 0.5)
            if edge >= used[side]:
                break
            total += excess_within(tails[side], edge)
    return total


@compiled
def best_below(step: float, codes: int, tails: np.ndarray, used: np.ndarray) -> float:
    """Return what `qcore.methods.squared_error.best_below` does."""
    below = 0
    number = 1
    while 2 * number <= codes:
        number *= 2
    while number > 0:
        more = below + number
        if more <= codes:
            gained = excess_beyond(tails[0], used[0], step * (more - 0.5))
            lost = excess_beyond(tails[1], used[1], step * (codes - more + 0.5))
            if gained > lost:
                below = more
        number //= 2
    return float(below)
