"""Which elements of a tensor share a scale.

Each class answers the same three questions: the shape of the scales, the data as a
matrix with one row for each scale, and the scales at every element.
"""

from dataclasses import dataclass
from math import prod
from operator import index
from typing import TypeAlias

from array_api_compat import device as device_of

from qcore.typing import Array, Axes, Namespace

Rows: TypeAlias = tuple[Array, Array | None]
"""A matrix, and where it holds data (``None``: everywhere; else some is padding)."""


@dataclass(frozen=True)
class PerTensor:
    """One scale for all elements: ``[A, B]`` has scales of shape ``[1, 1]``."""

    def scale_shape(self, shape: tuple[int, ...], /) -> tuple[int, ...]:
        """Return the shape of the scales of data of the given shape."""
        return (1,) * len(shape)

    def to_rows(self, x: Array, /, *, xp: Namespace) -> Rows:
        """Return the elements as a matrix of shape ``[1, n]``."""
        return xp.reshape(x, (1, prod(x.shape))), None

    def fit(self, scale: Array, shape: tuple[int, ...], /, *, xp: Namespace) -> Array:
        """Return scales of data of the given shape as they are, a single one as 0-d."""
        return _fitting(self, scale, shape, xp=xp)

    def expand(
        self, scale: Array, shape: tuple[int, ...], /, *, xp: Namespace
    ) -> Array:
        """Return the scale in a shape that broadcasts against the data."""
        return self.fit(scale, shape, xp=xp)


@dataclass(frozen=True)
class PerChannel:
    """One scale for each index along the kept axes.

    Parameters
    ----------
    axis : int or tuple of int
        The axes that are **kept**, negative ones counted from the end:
        ``[A, B, C]`` with axis 1 has scales of shape ``[1, B, 1]``.
    """

    axis: Axes

    def __post_init__(self) -> None:
        """Hold the axes as plain integers, so that the value can be hashed."""
        object.__setattr__(self, "axis", _plain(self.axis))

    def scale_shape(self, shape: tuple[int, ...], /) -> tuple[int, ...]:
        """Return the shape of the scales of data of the given shape."""
        kept = normalize_axes(self.axis, len(shape))
        return tuple(n if axis in kept else 1 for axis, n in enumerate(shape))

    def to_rows(self, x: Array, /, *, xp: Namespace) -> Rows:
        """Return the elements as a matrix of shape ``[channels, elements of each]``."""
        kept = normalize_axes(self.axis, x.ndim)
        reduced = tuple(axis for axis in range(x.ndim) if axis not in kept)
        rows, columns = (
            prod(x.shape[axis] for axis in axes) for axes in (kept, reduced)
        )
        return xp.reshape(xp.permute_dims(x, kept + reduced), (rows, columns)), None

    def fit(self, scale: Array, shape: tuple[int, ...], /, *, xp: Namespace) -> Array:
        """Return scales of data of the given shape as they are, a single one as 0-d."""
        return _fitting(self, scale, shape, xp=xp)

    def expand(
        self, scale: Array, shape: tuple[int, ...], /, *, xp: Namespace
    ) -> Array:
        """Return the scales in a shape that broadcasts against the data."""
        return self.fit(scale, shape, xp=xp)


@dataclass(frozen=True)
class PerBlock:
    """One scale for each run of `size` elements along one axis; other axes are kept.

    Parameters
    ----------
    axis : int
        The axis that is cut into blocks.
    size : int
        Elements in a block; the last block may be shorter. ``[A, B]`` with axis 1 has
        scales of shape ``[A, ceil(B / size)]``.
    """

    axis: int
    size: int

    def __post_init__(self) -> None:
        """Refuse a size that makes no block, hold the axis as a plain integer."""
        object.__setattr__(self, "axis", index(self.axis))
        if not (isinstance(self.size, int) and self.size > 0):
            raise ValueError(
                f"block size must be a positive integer; got {self.size!r}."
            )

    def scale_shape(self, shape: tuple[int, ...], /) -> tuple[int, ...]:
        """Return the shape of the scales of data of the given shape."""
        (cut,) = normalize_axes(self.axis, len(shape))
        return (*shape[:cut], -(-shape[cut] // self.size), *shape[cut + 1 :])

    def to_rows(self, x: Array, /, *, xp: Namespace) -> Rows:
        """Return the elements as a matrix of shape ``[blocks, size]``, padded."""
        (cut,) = normalize_axes(self.axis, x.ndim)
        scales = self.scale_shape(x.shape)
        padding = scales[cut] * self.size - x.shape[cut]
        keep = None
        if padding:
            pad_shape = (*x.shape[:cut], padding, *x.shape[cut + 1 :])
            device = device_of(x)
            keep = xp.concat(
                [
                    xp.ones(x.shape, dtype=xp.bool, device=device),
                    xp.zeros(pad_shape, dtype=xp.bool, device=device),
                ],
                axis=cut,
            )
            x = xp.concat(
                [x, xp.zeros(pad_shape, dtype=x.dtype, device=device)], axis=cut
            )
        return tuple(  # type: ignore[return-value]
            None if whole is None else self._blocks(whole, cut, scales, xp=xp)
            for whole in (x, keep)
        )

    def _blocks(
        self, x: Array, cut: int, scales: tuple[int, ...], *, xp: Namespace
    ) -> Array:
        split = xp.reshape(x, (*scales[: cut + 1], self.size, *scales[cut + 1 :]))
        return xp.reshape(xp.moveaxis(split, cut + 1, -1), (prod(scales), self.size))

    def fit(self, scale: Array, shape: tuple[int, ...], /, *, xp: Namespace) -> Array:
        """Return scales of data of the given shape as they are, a single one as 0-d."""
        return _fitting(self, scale, shape, xp=xp)

    def expand(
        self, scale: Array, shape: tuple[int, ...], /, *, xp: Namespace
    ) -> Array:
        """Return each block's scale at every element of the block."""
        scale = self.fit(scale, shape, xp=xp)
        (cut,) = normalize_axes(self.axis, len(shape))
        if scale.shape != self.scale_shape(shape):
            return scale
        whole = (*scale.shape[: cut + 1], self.size, *scale.shape[cut + 1 :])
        runs = xp.broadcast_to(xp.expand_dims(scale, axis=cut + 1), whole)
        padded = scale.shape[cut] * self.size
        flat = xp.reshape(runs, (*shape[:cut], padded, *shape[cut + 1 :]))
        return flat[(*(slice(None),) * cut, slice(shape[cut]), ...)]


Granularity: TypeAlias = PerTensor | PerChannel | PerBlock


def _plain(axis: Axes, /) -> int | tuple[int, ...]:
    """Return an axis, or several, as plain integers."""
    try:
        return index(axis)  # type: ignore[arg-type]
    except TypeError:
        pass
    try:
        return tuple(index(a) for a in axis)  # type: ignore[union-attr]
    except TypeError:
        raise TypeError(
            f"`axis` must be an integer or a tuple of integers; got {axis!r}."
        ) from None


def normalize_axes(axis: Axes, ndim: int, /) -> tuple[int, ...]:
    """Return axes as a sorted tuple of numbers from 0 to ``ndim - 1``.

    Raises
    ------
    ValueError
        If an axis is named twice or does not exist.
    """
    axes = (axis,) if isinstance(axis, int) else tuple(axis)
    if any(not -ndim <= a < ndim for a in axes):
        raise ValueError(
            f"axis {axis} must lie in [-{ndim}, {ndim}) for {ndim}-d data."
        )
    normal = tuple(sorted(a % ndim for a in axes))
    if len(set(normal)) < len(normal):
        raise ValueError(f"axes must differ; got {axis} for {ndim}-d data.")
    return normal


def _fitting(
    granularity: Granularity, scale: Array, shape: tuple[int, ...], *, xp: Namespace
) -> Array:
    """Return the scales as they are, or a single one without its axes."""
    if prod(scale.shape) == 1:
        return xp.reshape(scale, ())
    expected = granularity.scale_shape(shape)
    if scale.shape != expected:
        raise ValueError(
            f"scales of {granularity} for data of shape {shape} must have shape "
            f"{expected}; got {tuple(scale.shape)}."
        )
    return scale
