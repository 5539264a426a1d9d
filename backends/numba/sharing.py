"""Which elements share a scale, in terms of the memory they lie in.

Along each axis a number of neighbours share one: 1 on a kept axis, all on a reduced
one, a block on the axis that is cut. Neighbouring axes of one kind are one axis, and
what is left has one of few forms.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from qcore.granularity import Granularity, PerBlock, PerTensor, normalize_axes

SHORT = 64
"""Runs of fewer elements are no loops of their own: each takes some nanoseconds."""
NARROW = 512
"""Scales side by side that repeat themselves are made this many at least."""
LARGE = 1 << 14
"""Scales side by side that are worth making, where there are few otherwise."""

Axis = tuple[int, int]
"""Length, and how many neighbours share a scale."""


class Runs(NamedTuple):
    """Runs of up to `size` elements share one, the last of each line may be short."""

    line: int
    size: int


class Columns(NamedTuple):
    """Each of `width` neighbours has its own.

    So it is for all rows if `rows` is 1; else rows share them that are in one block of
    `size` of so many. To be made of the scales by repeating each and then all of them.
    """

    width: int
    rows: int
    size: int
    repeat: int = 1
    tiles: int = 1


class Scattered(NamedTuple):
    """No such form: every element has its own copy."""

    shape: tuple[int, ...]
    blocks: tuple[int, ...]


Sharing = Runs | Columns | Scattered


@lru_cache(maxsize=1024)
def scale_shape(shape: tuple[int, ...], granularity: Granularity) -> tuple[int, ...]:
    """Return the shape that scales of data of a shape have."""
    return granularity.scale_shape(shape)


@lru_cache(maxsize=1024)
def sharing(
    shape: tuple[int, ...], granularity: Granularity, order: tuple[int, ...] | None
) -> Sharing:
    """Return how elements share scales, the axes of `shape` taken in an order."""
    axes = [*zip(shape, _neighbours(shape, granularity), strict=True)]
    if order is not None:
        axes = [axes[axis] for axis in order]
    merged = _merged(axes)
    found = _found(merged)
    if isinstance(found, Runs) and found.size < SHORT and len(merged) == 3:
        found = _beside(found)
    if isinstance(found, Columns) and found.rows == 1 and found.width < NARROW:
        found = found._replace(tiles=-(-NARROW // found.width))
    if isinstance(found, Columns) and found.width * found.tiles < SHORT:
        found = None
    return found or Scattered(*zip(*axes, strict=True))


def _neighbours(shape: tuple[int, ...], granularity: Granularity) -> list[int]:
    """Return how many neighbours along each axis share a scale."""
    if isinstance(granularity, PerTensor):
        return list(shape)
    kept = normalize_axes(granularity.axis, len(shape))
    if isinstance(granularity, PerBlock):
        size = granularity.size
        return [size if axis in kept else 1 for axis in range(len(shape))]
    return [1 if axis in kept else n for axis, n in enumerate(shape)]


def _merged(axes: list[Axis]) -> list[Axis]:
    """Return axes, neighbours of one kind as one, none of length 1."""
    merged: list[Axis] = []
    for length, shared in axes:
        if length == 1:
            continue
        axis = length, min(shared, length)
        if merged and _kind(merged[-1]) == _kind(axis) != "cut":
            before = merged.pop()
            axis = before[0] * axis[0], before[1] * axis[1]
        merged.append(axis)
    return merged


def _kind(axis: Axis) -> str:
    length, shared = axis
    return "kept" if shared == 1 else "reduced" if shared == length else "cut"


def _found(merged: list[Axis]) -> Sharing | None:
    kinds = " ".join(map(_kind, merged))
    if kinds == "reduced":
        return Runs(merged[0][0], merged[0][0])
    if kinds in ("kept reduced", "reduced kept reduced"):
        channels, inner = merged[-2][0], merged[-1][0]
        return Runs(channels * inner, inner)
    if kinds in ("cut", "kept cut"):
        return Runs(*merged[-1])
    if kinds in ("kept", "reduced kept"):
        return Columns(merged[-1][0], rows=1, size=1)
    if kinds in ("kept reduced kept", "kept cut kept", "cut kept"):
        return Columns(merged[-1][0], *merged[-2])
    return None


def _beside(runs: Runs) -> Sharing:
    """Return short runs that repeat themselves as scales side by side, if not many."""
    if runs.line > LARGE:
        return runs
    return Columns(runs.line, rows=1, size=1, repeat=runs.size)


def spread(
    entries: np.ndarray, form: Sharing, order: tuple[int, ...] | None
) -> np.ndarray:
    """Return scales in the form that a loop reads: a row, or a matrix of columns."""
    if order is not None:
        entries = entries.transpose(order)
    if isinstance(form, Runs):
        return entries.reshape(-1)
    if isinstance(form, Scattered):
        for axis, (length, block) in enumerate(zip(*form, strict=True)):
            if block > 1 and entries.shape[axis] > 1:
                whole = np.repeat(entries, block, axis=axis)
                entries = whole[(*(slice(None),) * axis, slice(length))]
        return np.broadcast_to(entries, form.shape).reshape(1, -1)
    if form.repeat > 1:
        entries = np.repeat(entries.reshape(-1), form.repeat)
    columns = entries.reshape(-1, form.width)
    return np.tile(columns, (1, form.tiles)) if form.tiles > 1 else columns
