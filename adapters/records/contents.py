"""What is in a file, read whole: records are small, and what is not is none."""

import os
from pathlib import Path
from typing import TypeAlias

from qcore.adapters.given_path import path_of_file
from qcore.errors import FileFormatError

PathLike: TypeAlias = str | os.PathLike[str]

LARGEST = 2**28
"""Bytes of a record; 256 MiB tell of millions of tensors."""


class NoRecordError(FileFormatError, FileNotFoundError):
    """There is no file of that name, or it is a pipe or a device."""


def read_bytes(path: PathLike, title: str, /) -> bytes:
    """
    Return what is in a file; `title` says in errors what it should be.

    Raises
    ------
    FileFormatError
        If it is no file or larger than any record.
    OSError
        If it cannot be read.
    """
    found = check_file(path, title)
    with found.open("rb") as file:
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise FileFormatError(
            f"{path} must be a {title}; it is larger than {LARGEST} bytes."
        )
    return content


def read_lines(path: PathLike, title: str, /) -> list[tuple[int, str]]:
    """
    Return the lines of a text with their numbers from 1 on, empty ones left out.

    Raises
    ------
    FileFormatError
        If it is no file of text.
    """
    content = read_bytes(path, title)
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise FileFormatError(
            f"{path} must be a {title}; line {line} is not UTF-8."
        ) from error
    lines = (line.removesuffix("\r") for line in text.split("\n"))
    return [(number, line) for number, line in enumerate(lines, 1) if line.strip()]


def check_file(path: PathLike, title: str, /) -> Path:
    """Return a path that must be one of a file."""
    found = path_of_file(path)
    if not found.is_file():
        raise NoRecordError(f"{path} must be a {title}; there is no such file.")
    return found
