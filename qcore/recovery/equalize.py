"""Ranges of channels evened out between layers that follow each other.

"Data-Free Quantization Through Weight Equalization and Bias Correction" (Nagel et al.,
arXiv:1906.04721, sections 4.1 and 4.2). What lies between the layers must be such that
``f(x / s) == f(x) / s`` for positive s: nothing, ReLU, PReLU, or a ReLU6 that does not
clip.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from array_api_compat import device as device_of

from qcore.arithmetic import TINY
from qcore.granularity import normalize_axes
from qcore.libraries import arithmetic, namespace
from qcore.recovery.channel_parts import channel_parts, wide
from qcore.typing import Array, Namespace


class Equalized(NamedTuple):
    """Layers of the same function, and what their channels were divided by.

    Attributes
    ----------
    weights : list of array
        Of the shapes and dtypes they had.
    biases : list of array or None
        Likewise.
    scales : list of array
        float32 ``[channels]`` between each layer and the next: what the output of the
        first is divided by.
    """

    weights: list[Array]
    biases: list[Array | None]
    scales: list[Array]


def equalize(
    weights: Sequence[Array],
    biases: Sequence[Array | None] | None = None,
    /,
    *,
    groups: Sequence[int] | None = None,
    axes: Sequence[tuple[int, int]] | None = None,
    reach: Sequence[Array | None] | None = None,
    limit: float = 6.0,
    sweeps: int = 20,
    xp: Namespace | None = None,
) -> Equalized:
    """
    Return layers that follow each other with equal ranges of each channel between them.

    Parameters
    ----------
    weights : sequence of array
        Floating-point, of at least two layers in their order, such as
        ``[outputs, channels / groups, *kernel]``.
    biases : sequence of array or None, optional
        Floating-point ``[outputs]`` of each layer that has one.
    groups : sequence of int, optional
        Of each layer, by default 1.
    axes : sequence of tuple of int, optional
        Axes of the outputs and of the inputs of each layer, by default ``(0, 1)``.
    reach : sequence of array or None, optional
        Between two layers the largest value of each channel before a ReLU6,
        ``[channels]``; None where nothing limits values. Where less than the limit was
        reached, the limit will not be reached; channels that reach it stay as they are.
    limit : float, optional
        Where ReLU6 clips.
    sweeps : int, optional
        How often to go through the layers: in chains of three or more each pair
        changes what its neighbours see.

    Returns
    -------
    Equalized
        The same function up to rounding, for data that does not exceed `reach`.

    Raises
    ------
    TypeError
        If weights or biases are not floating-point.
    ValueError
        If there are fewer than two layers, or what is given does not fit together.

    Notes
    -----
    Channels that are zero on either side stay as they are.
    """
    count = len(weights)
    biases = [None] * count if biases is None else list(biases)
    groups = [1] * count if groups is None else list(groups)
    axes = [(0, 1)] * count if axes is None else list(axes)
    reach = [None] * (count - 1) if reach is None else list(reach)
    if count < 2:
        raise ValueError(f"`weights` must be of at least two layers; got {count}.")
    for name, given, wanted in (
        ("biases", biases, count),
        ("groups", groups, count),
        ("axes", axes, count),
        ("reach", reach, count - 1),
    ):
        if len(given) != wanted:
            raise ValueError(f"`{name}` must have {wanted} entries; got {len(given)}.")
    xp = namespace(weights[0], xp)
    with arithmetic(xp):
        largest = [
            _largest(weight, which, parts, xp=xp)
            for weight, which, parts in zip(weights, axes, groups, strict=True)
        ]
        scales = _scales(
            largest, [_floor(r, limit, xp=xp) for r in reach], sweeps, xp=xp
        )
        before, after = [None, *scales], [*scales, None]
        return Equalized(
            [
                _scaled(weight, *settings, xp=xp)
                for weight, *settings in zip(
                    weights, axes, groups, before, after, strict=True
                )
            ],
            [
                bias if bias is None or scale is None else _divided(bias, scale, xp=xp)
                for bias, scale in zip(biases, after, strict=True)
            ],
            [xp.astype(scale, xp.float32) for scale in scales],
        )


def _largest(
    weight: Array, axes: tuple[int, int], groups: int, /, *, xp: Namespace
) -> Array:
    """Return the largest magnitude between each input and output, by group."""
    return xp.max(
        xp.abs(channel_parts(wide(weight, "`weights`", xp=xp), axes, groups, xp=xp)),
        axis=3,
    )


def _floor(reach: Array | None, limit: float, /, *, xp: Namespace) -> Array | None:
    """Return the least scale for a ReLU6 not to clip; infinite where it does."""
    if reach is None:
        return None
    reach = wide(reach, "`reach`", xp=xp)
    clips = reach >= limit
    return xp.where(clips, xp.full_like(reach, float("inf")), reach / limit)


def _scales(
    largest: list[Array], floors: list[Array | None], sweeps: int, /, *, xp: Namespace
) -> list[Array]:
    """Return what the output of each layer but the last is divided by, float64."""
    scales: list[Array] = []
    for i, (first, second) in enumerate(pairwise(largest)):
        outputs, inputs = (
            first.shape[0] * first.shape[1],
            second.shape[0] * second.shape[2],
        )
        if outputs != inputs:
            raise ValueError(
                f"`weights` must follow each other; layer {i} has {outputs} outputs "
                f"and the next {inputs} inputs."
            )
        scales.append(xp.ones(outputs, dtype=xp.float64, device=device_of(first)))
    for i in [*range(len(scales))] * sweeps:
        first, second = largest[i], largest[i + 1]
        r1 = xp.reshape(xp.max(first, axis=2), (-1,))
        r2 = xp.reshape(xp.max(second, axis=1), (-1,))
        one = xp.ones_like(r1)
        usable = xp.logical_and(r1 >= TINY, r2 >= TINY)
        step = xp.where(usable, xp.sqrt(r1 / xp.where(usable, r2, one)), one)
        floor = floors[i]
        if floor is not None:
            step = xp.maximum(step, floor / scales[i])
            step = xp.where(xp.isinf(floor), one, step)
        scales[i] = scales[i] * step
        largest[i] = first / xp.reshape(step, (*first.shape[:2], 1))
        largest[i + 1] = second * xp.reshape(
            step, (second.shape[0], 1, second.shape[2])
        )
    return scales


def _scaled(
    weight: Array,
    axes: tuple[int, int],
    groups: int,
    before: Array | None,
    after: Array | None,
    /,
    *,
    xp: Namespace,
) -> Array:
    """Return weights for inputs divided by a scale, outputs divided by another."""
    kept = tuple(normalize_axes(axis, weight.ndim)[0] for axis in axes)
    parts = channel_parts(xp.astype(weight, xp.float64), axes, groups, xp=xp)
    if before is not None:
        parts = parts * xp.reshape(before, (groups, 1, parts.shape[2], 1))
    if after is not None:
        parts = parts / xp.reshape(after, (*parts.shape[:2], 1, 1))
    shape = xp.moveaxis(weight, kept, (0, 1)).shape
    return xp.astype(xp.moveaxis(xp.reshape(parts, shape), (0, 1), kept), weight.dtype)


def _divided(bias: Array, scale: Array, /, *, xp: Namespace) -> Array:
    return xp.astype(wide(bias, "`biases`", xp=xp) / scale, bias.dtype)
