"""How functions are compiled."""

from collections.abc import Callable
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import numba

Function = Callable[..., Any]


def compiled(function: Function) -> Function:
    """Return the function compiled at its first call and kept on disk, if that can be.

    Never `parallel`: numba's own threads may not be entered by two of Python's.
    """
    options = {"nogil": True, "error_model": "numpy"}
    chosen = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = _folder(chosen)
    try:
        native: Function = numba.njit(cache=True, **options)(function)
    except RuntimeError:  # no folder can be written to
        native = numba.njit(**options)(function)
    finally:
        numba.config.CACHE_DIR = chosen
    return native


@cache
def _folder(chosen: str) -> str:
    """Return where compiled code is kept, a folder for each state of all files.

    numba looks whether the file of a function was edited, not those of what it calls.
    """
    here = Path(__file__).parent
    stamp = sha256()
    for file in sorted(here.glob("*.py")):
        stamp.update(file.read_bytes())
    base = Path(chosen) if chosen else here / "__pycache__"
    return str(base / f"qcore-{stamp.hexdigest()[:16]}")
