"""numba: a method on many entries, some at a time in each thread."""

from typing import Any

import numpy as np

from qcore.backends.numba.threads import most_threads, run
from qcore.kernels import declined
from qcore.libraries import namespace
from qcore.methods.candidates import BLOCK
from qcore.methods.registry import Method
from qcore.methods.solve import entries, numbers_of
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
    count, numbers = statistics.channels, numbers_of(statistics)
    if count * numbers <= BLOCK or count == 1:
        return declined("so few entries that one thread is as fast")
    xp = namespace(low)

    def ends(first: int) -> np.ndarray:
        part = entries(statistics, first, min(first + size, count))
        return np.stack(list(method(part, spec, xp=xp, **dict(options))))

    size = min(max(BLOCKS * BLOCK // numbers, 1), -(-count // most_threads()))
    return np.concatenate(
        run(ends, [(first,) for first in range(0, count, size)]), axis=1
    )
