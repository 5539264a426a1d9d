"""Weights by the channels that they connect."""

from math import prod

from qcore.arithmetic import check_floating
from qcore.granularity import normalize_axes
from qcore.typing import Array, Namespace


def wide(x: Array, what: str, /, *, xp: Namespace) -> Array:
    """Return floating-point numbers as float64; `what` names them in errors."""
    check_floating(x, what)
    return xp.astype(x, xp.float64)


def channel_parts(
    weight: Array, axes: tuple[int, int], groups: int, /, *, xp: Namespace
) -> Array:
    """Return weights as ``[groups, outputs, inputs, taps]``, of each group."""
    kept = [normalize_axes(axis, weight.ndim)[0] for axis in axes]
    moved = xp.moveaxis(weight, tuple(kept), (0, 1))
    outputs, inputs, *kernel = moved.shape
    if outputs % groups:
        raise ValueError(
            f"`groups` must divide the outputs; got {groups} and {outputs}."
        )
    return xp.reshape(moved, (groups, outputs // groups, inputs, prod(kernel)))
