"""A method on many entries of a GPU, as many at once as memory holds."""

from typing import Any

from qcore.methods.registry import Method
from qcore.methods.solve import entries, numbers_of
from qcore.spec import QuantSpec
from qcore.statistics import Statistics
from qcore.typing import Array, Namespace

BYTES = 64
"""Of temporary memory for each number of a state: 16 float64 arrays of candidates, of
which there are half as many as numbers."""
LEAST = 1 << 13
"""Numbers: methods may try thousands of candidates where slots are few."""
MOST = 1 << 31
"""Bytes of temporary memory."""
PART = 8
"""Of the memory of the device, one part in so many may be such."""


def solve(
    statistics: Statistics,
    spec: QuantSpec,
    method: Method,
    options: tuple[tuple[str, Any], ...],
    /,
    *,
    memory: int,
    xp: Namespace,
) -> Array:
    """Return what the kernel of this name does.

    Parameters
    ----------
    statistics, spec, method, options
        As of `qcore.methods.solve.solve`.
    memory : int
        Bytes of the device.
    """
    count, numbers = statistics.channels, max(numbers_of(statistics), LEAST)
    whole = max(min(MOST, memory // PART) // (BYTES * numbers), 1)
    blocks = -(-count // whole)
    size = -(-count // max(blocks, 1))

    def ends(part: Statistics) -> Array:
        return xp.stack(list(method(part, spec, xp=xp, **dict(options))))

    if blocks <= 1:
        return ends(statistics)
    firsts = range(0, count, size)
    parts = [entries(statistics, i, min(i + size, count)) for i in firsts]
    return xp.concat([ends(part) for part in parts], axis=1)
