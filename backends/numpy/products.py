"""Products of codes in float32, of as many at once as it adds up exactly."""

from typing import Any

import numpy as np

from qcore.statistics.products import exact_products

EXACT = 2.0**24
"""Up to here float32 holds all whole numbers."""


@exact_products.accelerate("numpy")
def _(x: np.ndarray, bound: int, /) -> Any:
    """Take half the time of float64."""
    size = int(EXACT) // bound**2
    groups, features, n = x.shape
    if size < 128:  # of 16 bits: hardly any
        return exact_products.reference(x, bound, xp=np)
    total = np.zeros((groups, features, features), np.float64)
    for first in range(0, n, size):
        part = x[:, :, first : first + size]
        total += part @ np.matrix_transpose(part)
    return total.astype(np.int64)
