"""How functions are compiled, and in what form they are given arrays."""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np

Function = Callable[..., Any]


def compiled(function: Function) -> Function:
    """Return the function compiled at its first call and kept on disk.

    Never `parallel`: numba's own threads may not be entered by two of Python's.
    """
    native: Function = numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    return native


def readonly(x: np.ndarray, dtype: type | None = None) -> np.ndarray:
    """Return contiguous aligned memory that cannot be written to: a view or a copy.

    Some libraries lend their arrays in this form alone, and each form is compiled for.
    """
    x = np.ascontiguousarray(x, dtype=dtype)
    view: np.ndarray = (x if x.flags.aligned else x.copy()).view()
    view.flags.writeable = False
    return view
