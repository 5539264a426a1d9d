"""How functions are compiled."""

from collections.abc import Callable
from typing import Any

import numba

Function = Callable[..., Any]


def compiled(function: Function) -> Function:
    """Return the function compiled at its first call and kept on disk, if that can be.

    Never `parallel`: numba's own threads may not be entered by two of Python's. What is
    kept knows of edits of the function's own file alone: whoever edits what it calls
    in a checkout clears ``__pycache__``, too.
    """
    options = {"nogil": True, "error_model": "numpy"}
    try:
        native: Function = numba.njit(cache=True, **options)(function)
    except RuntimeError:  # no folder can be written to
        native = numba.njit(**options)(function)
    return native
