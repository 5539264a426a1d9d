"""A method on many entries of a GPU, as many at once as memory holds."""

from dataclasses import replace
from typing import Any

from qcore.granularity import PerChannel
from qcore.methods.registry import Method
from qcore.methods.solve import numbers_of
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
    entries, numbers = statistics.channels, max(numbers_of(statistics), LEAST)
    whole = max(min(MOST, memory // PART) // (BYTES * numbers), 1)
    count = -(-entries // whole)
    size = -(-entries // max(count, 1))

    def ends(part: Statistics) -> Array:
        return xp.stack(list(method(part, spec, xp=xp, **dict(options))))

    if count <= 1:
        return ends(statistics)
    firsts = range(0, entries, size)
    parts = [_entries(statistics, i, min(i + size, entries)) for i in firsts]
    return xp.concat([ends(part) for part in parts], axis=1)


def _entries(statistics: Statistics, first: int, last: int) -> Statistics:
    """Return views of the entries from first to last."""
    views = {
        name: getattr(statistics, name)[first:last]
        for name in statistics.array_fields()
    }
    return replace(
        statistics, **views, granularity=PerChannel(0), extents=(last - first,)
    )
