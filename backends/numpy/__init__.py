"""NumPy: blocks that stay in the cache, and searches that look up and leave out."""

from functools import partial
from importlib import import_module
from typing import Any

import numpy as np

from qcore.arithmetic import divide
from qcore.backends.found import is_found
from qcore.backends.numpy import counting, entropy, mse, products
from qcore.libraries import Library, register_library

__all__ = ["counting", "entropy", "mse", "products"]

NAME = "numpy"

for name in (NAME, "array_api_strict"):  # the latter computes with NumPy
    register_library(name, Library(arithmetic=partial(np.errstate, all="ignore")))


@divide.accelerate(NAME)
def _(x: np.ndarray, scale: np.ndarray, /) -> Any:
    return np.divide(x, scale)


if is_found("numba"):
    import_module(f"{__name__}.numba")
