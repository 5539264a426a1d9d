"""Weights as the matrices that a layer multiplies its inputs with."""

from math import prod

from qcore.granularity import normalize_axes
from qcore.libraries import check_library
from qcore.statistics import Gram
from qcore.typing import Array, Namespace


def to_rows(weights: Array, gram: Gram, axis: int, /, *, xp: Namespace) -> Array:
    """Return ``[G, K, outputs / G]``: of each group, a column for each output.

    Raises
    ------
    TypeError
        If the statistics are none, or of another library.
    ValueError
        If the shapes do not fit.
    """
    if not isinstance(gram, Gram):
        raise TypeError(f"`gram` must be a Gram; got {type(gram).__name__}.")
    check_library(gram.products, xp, "`gram`")
    (kept,) = normalize_axes(axis, weights.ndim)
    outputs, groups = weights.shape[kept], gram.channels
    columns = prod(weights.shape[:kept]) * prod(weights.shape[kept + 1 :])
    if columns != gram.features or outputs % groups:
        raise ValueError(
            f"`gram` must be of {columns} inputs for an output of weights of shape "
            f"{tuple(weights.shape)}, in groups that divide the {outputs} outputs; got "
            f"{gram.features} in {groups}."
        )
    moved = xp.moveaxis(weights, kept, 0)
    split = xp.reshape(moved, (groups, outputs // groups, columns))
    return xp.matrix_transpose(split)


def from_rows(
    rows: Array, shape: tuple[int, ...], axis: int, /, *, xp: Namespace
) -> Array:
    """Return what `to_rows` made a matrix of, in its shape again."""
    (kept,) = normalize_axes(axis, len(shape))
    moved = (shape[kept], *shape[:kept], *shape[kept + 1 :])
    return xp.moveaxis(xp.reshape(xp.matrix_transpose(rows), moved), 0, kept)
