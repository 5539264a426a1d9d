"""Statistics of many tensors side by side, so that one call solves them all."""

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import TypeVar

from qcore.granularity import PerChannel
from qcore.libraries import arithmetic
from qcore.statistics.base import Statistics

S = TypeVar("S", bound=Statistics)


def stack(parts: Sequence[S], /) -> S:
    """
    Return one state whose entries are those of all the parts, in order.

    Parameters
    ----------
    parts : sequence of statistics
        Of one class, bins, library and device; granularity and extents may differ.

    Returns
    -------
    statistics
        With ``PerChannel(0)`` and extents ``(sum of C,)``: its scales are ``[sum C]``.

    Raises
    ------
    ValueError
        If there is no part, or two differ in what must be equal.
    """
    if not parts:
        raise ValueError("`parts` must hold at least one state; got none.")
    flat = [replace(part, granularity=PerChannel(0), extents=()) for part in parts]
    for other in flat[1:]:
        flat[0]._check_alike(other)
    xp = flat[0].xp
    with arithmetic(xp):
        joined = {
            name: xp.concat([getattr(part, name) for part in flat], axis=0)
            for name in flat[0].array_fields()
        }
    total = sum(part.channels for part in parts)
    return replace(flat[0], **joined, extents=(total,))


def unstack(stacked: S, parts: Sequence[Statistics], /) -> list[S]:
    """
    Return the entries of a stacked state as states shaped like the parts.

    Parameters
    ----------
    stacked : statistics
        As `stack` returns it.
    parts : sequence of statistics
        Those that were stacked, for their granularity and extents.

    Raises
    ------
    ValueError
        If the parts have not as many entries as the stacked state.
    """
    sizes = [prod(part.extents) for part in parts]
    if sum(sizes) != stacked.channels:
        raise ValueError(
            f"`parts` must have {stacked.channels} entries in all; got {sum(sizes)}."
        )
    states, first = [], 0
    for part, size in zip(parts, sizes, strict=True):
        cut = {
            name: getattr(stacked, name)[first : first + size, ...]
            for name in stacked.array_fields()
        }
        states.append(
            replace(stacked, **cut, granularity=part.granularity, extents=part.extents)
        )
        first += size
    return states
