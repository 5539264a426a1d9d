"""The path of a file that is to be written, checked before the work."""

import os
from pathlib import Path

from qcore.errors import QuantError


def path_to_write(path: object, /) -> Path:
    """
    Return a path that a file can be written to.

    Raises
    ------
    TypeError
        If it is no path.
    QuantError
        If it is a folder, or lies in none that exists.
    """
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"`path` must be a path; got {type(path).__name__}.")
    found = Path(path)
    if found.is_dir():
        raise QuantError(f"`path` must be a file; got {str(path)!r}, a folder.")
    if not found.parent.is_dir():
        raise QuantError(f"`path` must lie in an existing folder; got {str(path)!r}.")
    return found
