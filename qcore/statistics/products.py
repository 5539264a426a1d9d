"""Sums of products of whole numbers, without rounding."""

from array_api_compat import device as device_of

from qcore.kernels import Kernel
from qcore.statistics.patches import fold_patches
from qcore.statistics.window import Window
from qcore.typing import Array, Namespace


@Kernel
def sums_of_products(
    images: Array,
    zero_point: Array,
    keep: Array | None,
    window: Window,
    bound: int,
    /,
    *,
    xp: Namespace,
) -> Array:
    """Return products and, in the last column, sums: int64 ``[G, K, K + 1]``.

    Parameters
    ----------
    images : array
        Codes ``[N, channels, *spatial]``.
    zero_point : array
        int32, 0-d: the code of zero.
    keep : array or None
        Booleans ``[N]``: which images count.
    window : Window
        What an output sees.
    bound : int
        Of the magnitude of codes less their zero point.
    """

    def add(state: Array, patches: Array) -> Array:
        products = exact_products(patches, bound, xp=xp)
        sums = xp.astype(xp.sum(patches, axis=2, dtype=xp.float64), xp.int64)
        return state + xp.concat([products, sums[:, :, None]], axis=2)

    features = window.features(images.shape[1])
    shape = window.groups, features, features + 1
    start = xp.zeros(shape, dtype=xp.int64, device=device_of(images))
    zero = xp.astype(zero_point, xp.float32)
    return fold_patches(add, start, images, zero, window, keep, xp=xp)


@Kernel
def exact_products(x: Array, bound: int, /, *, xp: Namespace) -> Array:
    """Return ``x @ x.T`` of whole numbers, int64 ``[G, K, K]``.

    Parameters
    ----------
    x : array
        float32 ``[G, K, n]``, with ``n * bound**2 < 2**53``.
    bound : int
        Their largest magnitude.
    """
    del bound
    x = xp.astype(x, xp.float64)
    return xp.astype(xp.matmul(x, xp.matrix_transpose(x)), xp.int64)
