"""Largest magnitude and range of data, over axes given NumPy's way: those reduced."""

from array_api_compat import device as device_of

from qcore.granularity import Granularity, normalize_axes
from qcore.libraries import arithmetic, namespace
from qcore.typing import Array, Axes, Namespace


def reduce_amax(
    x: Array,
    /,
    *,
    axis: Axes | None = None,
    keepdims: bool = True,
    xp: Namespace | None = None,
) -> Array:
    """
    Return the largest magnitude over the given axes.

    Parameters
    ----------
    x : array
        Real floating-point data of any shape; NaN gives NaN, nothing to reduce gives 0.
    axis : int, tuple of int or None, optional
        The axes that are **reduced**, all of them by default.
    keepdims : bool, optional
        Keep reduced axes with length 1.

    Returns
    -------
    array
        Of the dtype of `x`; of its rank if `keepdims`.

    Raises
    ------
    ValueError
        If an axis does not exist or is named twice.
    """
    xp = namespace(x, xp)
    with arithmetic(xp):
        low, high = reduce_range(x, axis=axis, keepdims=keepdims, xp=xp)
        return xp.maximum(-low, high)


def reduce_range(
    x: Array,
    /,
    *,
    axis: Axes | None = None,
    keepdims: bool = True,
    xp: Namespace | None = None,
) -> tuple[Array, Array]:
    """
    Return the smallest and the largest value over the given axes.

    Parameters
    ----------
    x : array
        Real floating-point data of any shape; NaN gives NaN, nothing to reduce gives 0.
    axis : int, tuple of int or None, optional
        The axes that are **reduced**, all of them by default.
    keepdims : bool, optional
        Keep reduced axes with length 1.

    Returns
    -------
    low, high : array
        Of the dtype of `x`; of its rank if `keepdims`.

    Raises
    ------
    ValueError
        If an axis does not exist or is named twice.
    """
    xp = namespace(x, xp)
    axes = tuple(range(x.ndim)) if axis is None else normalize_axes(axis, x.ndim)
    with arithmetic(xp):
        if any(x.shape[a] == 0 for a in axes):
            x = _one_zero(x, axes, xp=xp)
        return (
            xp.min(x, axis=axes, keepdims=keepdims),
            xp.max(x, axis=axes, keepdims=keepdims),
        )


def _one_zero(x: Array, axes: tuple[int, ...], *, xp: Namespace) -> Array:
    """Return zeros of the shape of `x` with the reduced axes of length 1."""
    shape = tuple(1 if a in axes else n for a, n in enumerate(x.shape))
    return xp.zeros(shape, dtype=x.dtype, device=device_of(x))


def row_range(
    x: Array, granularity: Granularity, /, *, xp: Namespace
) -> tuple[Array, Array]:
    """Return the ends of each row of the granularity, in the shape of its scales."""
    rows, keep = granularity.to_rows(x, xp=xp)
    if keep is None:
        low, high = reduce_range(rows, axis=1, xp=xp)
    else:  # padding repeats the block's first element, which is always data
        low, high = reduce_range(xp.where(keep, rows, rows[:, :1]), axis=1, xp=xp)
    shape = granularity.scale_shape(x.shape)
    return xp.reshape(low, shape), xp.reshape(high, shape)
