"""Work on a block at a time: entries of a state, terms of a sum."""

from collections.abc import Callable
from math import prod

from array_api_compat import device as device_of

from qcore.kernels import fold, map_blocks
from qcore.typing import Array, Device, Namespace

BLOCK = 1 << 15
"""Numbers worked on at once: a few float64 arrays of them fit the L2 cache."""

TERMS = 1 << 12
"""Terms added at once where candidates are fewer: arrays of them fit the L1 cache.

On XLA:CPU twice as many, for a candidate of two terms, take three times as long."""


def map_entries(
    function: Callable[[Array], Array],
    entries: int,
    terms: int,
    /,
    *,
    xp: Namespace,
    device: Device,
) -> Array:
    """
    Return what a function gives for entries ``0 … entries - 1``.

    Parameters
    ----------
    function : callable
        From the numbers of some entries, int64 ``[B]``, to an array ``[R, B]``.
    entries : int
        How many there are, at least one.
    terms : int
        How many numbers one of them takes.

    Returns
    -------
    array
        ``[R, entries]``.
    """
    size = min(max(BLOCK // max(terms, 1), 1), entries)
    count = -(-entries // size)
    number = xp.arange(count * size, dtype=xp.int64, device=device)
    number = xp.minimum(number, xp.full_like(number, entries - 1))
    found = map_blocks(xp.reshape(number, (count, size)), function, xp=xp)
    rows = found.shape[1]
    joined = xp.reshape(xp.moveaxis(found, 0, 1), (rows, count * size))
    return joined[:, :entries]


def sum_terms(
    term: Callable[..., Array],
    columns: tuple[Array, ...],
    like: Array,
    /,
    *,
    xp: Namespace,
) -> Array:
    """
    Return the sum of a function of the rows of some columns, for many candidates.

    Few terms of all candidates at a time: XLA then makes loops without large arrays,
    four times as fast as all terms of a few candidates.

    Parameters
    ----------
    term : callable
        From float64 ``[n]`` of each column to the terms ``[C, S, n]``; where all
        columns are zero the term must be zero.
    columns : tuple of array
        float64 ``[terms]`` each.
    like : array
        float64 ``[C, S]``.

    Returns
    -------
    array
        float64 ``[C, S]``.
    """
    (terms,) = columns[0].shape
    size = min(max(TERMS // max(prod(like.shape), 1), 1), terms)
    count = -(-terms // size)
    padding = xp.zeros(
        (len(columns), count * size - terms), dtype=xp.float64, device=device_of(like)
    )
    table = xp.concat([xp.stack(list(columns)), padding], axis=1)
    table = xp.moveaxis(xp.reshape(table, (len(columns), count, size)), 1, 0)

    def add(total: Array, rows: Array) -> Array:
        parts = term(*(rows[i, :] for i in range(len(columns))))
        return total + xp.sum(parts, axis=-1)

    return fold(xp.zeros_like(like), table, add, xp=xp)
