"""The paths that a user gives, checked before anything is read or written."""

import os
from pathlib import Path

from qcore.errors import QuantError


class FolderError(QuantError, IsADirectoryError):
    """The path of a file is that of a folder."""


class NoFolderError(QuantError, FileNotFoundError):
    """The folder of a file is not there."""


def path_of_file(path: object, name: str = "path", /) -> Path:
    """
    Return a path of a file that may be there or not.

    Raises
    ------
    TypeError
        If it is no path.
    FolderError
        If it is a folder.
    """
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"`{name}` must be a path; got {type(path).__name__}.")
    found = Path(path)
    if found.is_dir():
        raise FolderError(f"`{name}` must be a file; {str(path)!r} is a folder.")
    return found


def path_to_write(path: object, name: str = "path", /) -> Path:
    """
    Return a path of a file that can be written.

    Raises
    ------
    TypeError, FolderError
        As `path_of_file`.
    NoFolderError
        If its folder is not there.
    """
    found = path_of_file(path, name)
    if not found.parent.is_dir():
        raise NoFolderError(
            f"`{name}` must lie in an existing folder; got {str(path)!r}."
        )
    return found
