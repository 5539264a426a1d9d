"""How functions are compiled."""

from collections.abc import Callable
from typing import Any

import numba

Function = Callable[..., Any]


def compiled(function: Function) -> Function:
    """Return the function compiled at its first call and kept on disk.

    Never `parallel`: numba's own threads may not be entered by two of Python's.
    """
    native: Function = numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    return native
