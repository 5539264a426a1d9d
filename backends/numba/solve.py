"""numba: a method on many entries, some at a time in each thread."""

from dataclasses import replace
from typing import Any

import numpy as np

from qcore.backends.numba.threads import most_threads, run
from qcore.granularity import PerChannel
from qcore.kernels import declined
from qcore.libraries import namespace
from qcore.methods.candidates import BLOCK
from qcore.methods.registry import Method
from qcore.methods.solve import numbers_of
from qcore.spec import QuantSpec
from qcore.statistics import Statistics

BLOCKS = 8
"""Times as many numbers at once as in the portable form: fewer calls hold the lock."""


def solve(
    low: np.ndarray,
    statistics: Statistics,
    spec: QuantSpec,
    method: Method,
    options: tuple[tuple[str, Any], ...],
    /,
) -> Any:
    """Return what the kernel of this name does; compiled functions hold no lock."""
    entries, numbers = statistics.channels, numbers_of(statistics)
    if entries * numbers <= BLOCK or entries == 1:
        return declined("so few entries that one thread is as fast")
    xp = namespace(low)

    def ends(first: int) -> np.ndarray:
        part = _entries(statistics, first, min(first + size, entries))
        return np.stack(list(method(part, spec, xp=xp, **dict(options))))

    size = min(max(BLOCKS * BLOCK // numbers, 1), -(-entries // most_threads()))
    return np.concatenate(
        run(ends, [(first,) for first in range(0, entries, size)]), axis=1
    )


def _entries(statistics: Statistics, first: int, last: int) -> Statistics:
    """Return views of the entries from first to last."""
    views = {
        name: getattr(statistics, name)[first:last]
        for name in statistics.array_fields()
    }
    return replace(
        statistics, **views, granularity=PerChannel(0), extents=(last - first,)
    )
