"""Counts on wider grids, in one pass over the slots."""

from typing import Any

import numpy as np

from qcore.backends.numba.compile import compiled
from qcore.backends.numba.memory import readonly
from qcore.kernels import declined
from qcore.statistics.tally import EXPONENTS


def regrid(
    counts: np.ndarray, exponents: np.ndarray, k: np.ndarray, new_k: np.ndarray, /
) -> Any:
    """Return what the kernel of this name does; the same arrays for the same grid."""
    channels = len(counts)
    shapes = exponents.shape == (channels, 2, EXPONENTS), k.shape == new_k.shape
    if not all(shapes) or k.shape != (channels,):
        return declined("the arrays are not such as a state has")
    if np.array_equal(k, new_k):
        return counts, exponents
    folded, known = np.zeros_like(counts), exponents.copy()
    _fold(*(readonly(x, np.int64) for x in (counts, k, new_k)), folded, known)
    return folded, known


@compiled
def _fold(
    counts: np.ndarray,
    k: np.ndarray,
    new_k: np.ndarray,
    folded: np.ndarray,
    exponents: np.ndarray,
) -> None:
    channels, _, slots = counts.shape
    for c in range(channels):
        shift = max(min(new_k[c] - k[c], 62), 0)
        for sign in range(2):
            octave = 0
            for slot in range(slots):
                octave += (slot >> (octave + 1)) > 0
                target = slot >> shift
                count = counts[c, sign, slot]
                folded[c, sign, target] += count
                field = k[c] + octave + 127
                if target == 0 and slot > 0 and 0 <= field < EXPONENTS:
                    exponents[c, sign, field] += count
