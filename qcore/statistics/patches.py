"""Unfolded codes, a block at a time: never all patches of a convolution at once."""

from collections.abc import Callable
from itertools import product
from math import prod

from array_api_compat import device as device_of

from qcore.kernels import fold
from qcore.statistics.window import Window
from qcore.typing import Array, Namespace

BLOCK = 1 << 21
"""Numbers unfolded at once: 8 MiB of float32."""


def fold_patches(  # noqa: PLR0917 - what a block is made of
    function: Callable[[Array, Array], Array],
    start: Array,
    codes: Array,
    zero_point: Array,
    window: Window,
    keep: Array | None = None,
    /,
    *,
    xp: Namespace,
) -> Array:
    """
    Return ``function(… function(start, patches) …, patches)`` of blocks of patches.

    Parameters
    ----------
    function : callable
        From the result so far and the next patches, float32 ``[groups, K, n]``: codes
        less their zero point, 0 in padding. Features have the order of a weight
        ``[outputs, channels / groups, *kernel]``, flattened; n is the same for all
        blocks, which are filled up with zeros.
    start : array
        The first result.
    codes : array
        Integers ``[N, channels, *spatial]``.
    zero_point : array
        float32, 0-d.
    window : Window
        Of the rank of the spatial axes.
    keep : array, optional
        Booleans ``[N]``: which images count.
    """
    images, channels, *spatial = codes.shape
    extents = window.outputs(tuple(spatial))
    features = window.features(channels) * window.groups
    if not (images and prod(extents) and features):
        return start
    count, height = _block(images, extents, features)
    block = (height, *extents[1:]) if extents else ()
    rows = extents[0] if extents else 1
    firsts = product(range(0, images, count), range(0, rows, height))
    device = device_of(codes)
    items = xp.asarray(list(firsts), dtype=xp.int64, device=device)

    def add(state: Array, first: Array) -> Array:
        image = first[0] + xp.arange(count, dtype=xp.int64, device=device)
        part, there = _taken(codes, image, 0, xp=xp)
        if keep is not None:
            chosen, _ = _taken(keep, image, 0, xp=xp)
            there = xp.logical_and(there, chosen)
        part = xp.astype(part, xp.float32) - zero_point
        if keep is not None or images % count:
            part = _masked(part, there, 0, xp=xp)
        part = _padded(part, window, block, first[1], xp=xp)
        part = _unfolded(part, window, block, xp=xp)
        if rows % height:
            row = first[1] + xp.arange(height, dtype=xp.int64, device=device)
            part = _masked(part, row < rows, 3, xp=xp)
        shape = window.groups, features // window.groups, -1
        return function(state, xp.reshape(part, shape))

    return fold(start, items, add, xp=xp)


def _block(images: int, extents: tuple[int, ...], features: int) -> tuple[int, int]:
    """Return how many images, and rows of outputs of each, make a block."""
    each = features * prod(extents)
    if each <= BLOCK or not extents:
        count = -(-images // max(BLOCK // each, 1))
        return -(-images // count), extents[0] if extents else 1
    count = min(-(-each // BLOCK), extents[0])
    return 1, -(-extents[0] // count)


def _taken(
    x: Array, place: Array, axis: int, /, *, xp: Namespace
) -> tuple[Array, Array]:
    """Return what lies at some places of an axis, and whether there is anything."""
    last = x.shape[axis] - 1
    there = xp.logical_and(place >= 0, place <= last)
    return xp.take(x, xp.clip(place, 0, last), axis=axis), there


def _masked(x: Array, there: Array, axis: int, /, *, xp: Namespace) -> Array:
    """Return zero where nothing is along an axis."""
    there = xp.reshape(there, (-1, *(1,) * (x.ndim - axis - 1)))
    return xp.where(there, x, xp.zeros_like(x))


def _padded(
    part: Array,
    window: Window,
    extents: tuple[int, ...],
    first: Array,
    /,
    *,
    xp: Namespace,
) -> Array:
    """Return the inputs that a block of outputs sees, zeros between and around.

    Its first row is that of number `first`.
    """
    for axis, (kernel, stride, dilation, padding, spread) in enumerate(window.axes):
        length = (extents[axis] - 1) * stride + dilation * (kernel - 1) + 1
        place = xp.arange(length, dtype=xp.int64, device=device_of(part)) - padding[0]
        if not axis:
            place = place + first * stride
        inside = place % spread == 0
        part, there = _taken(part, place // spread, axis + 2, xp=xp)
        part = _masked(part, xp.logical_and(there, inside), axis + 2, xp=xp)
    return part


def _unfolded(
    part: Array, window: Window, extents: tuple[int, ...], /, *, xp: Namespace
) -> Array:
    """Return ``[channels, taps, images, *extents]`` of padded inputs."""
    part = xp.moveaxis(part, 0, 1)
    taps = []
    for tap in product(*(range(n) for n in window.kernel)):
        cuts = [
            slice(k * dilation, k * dilation + (n - 1) * stride + 1, stride)
            for k, n, (_, stride, dilation, _, _) in zip(
                tap, extents, window.axes, strict=True
            )
        ]
        taps.append(part[(slice(None), slice(None), *cuts)])
    return xp.stack(taps, axis=1)
