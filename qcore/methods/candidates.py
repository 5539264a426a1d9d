"""Scoring many candidates a block at a time."""

from collections.abc import Callable

from qcore.kernels import map_blocks
from qcore.typing import Array, Device, Namespace

BLOCK = 1 << 15
"""Terms worked on at once: a few float64 arrays of them fit the second-level cache."""


def score_candidates(
    score: Callable[[Array], Array],
    candidates: int,
    terms: int,
    /,
    *,
    xp: Namespace,
    device: Device,
) -> Array:
    """
    Return the scores of candidates ``0 … candidates - 1``.

    Parameters
    ----------
    score : callable
        From the numbers of some candidates, int64 ``[B]``, to their scores ``[C, B]``.
    candidates : int
        How many there are, at least one.
    terms : int
        How many terms one of them costs, for all rows together.

    Returns
    -------
    array
        float64 ``[C, candidates]``.
    """
    size = min(max(BLOCK // max(terms, 1), 1), candidates)
    count = -(-candidates // size)
    number = xp.arange(count * size, dtype=xp.int64, device=device)
    number = xp.minimum(number, xp.full_like(number, candidates - 1))
    scores = map_blocks(xp.reshape(number, (count, size)), score, xp=xp)
    rows = scores.shape[1]
    joined = xp.reshape(xp.moveaxis(scores, 0, 1), (rows, count * size))
    return joined[:, :candidates]
