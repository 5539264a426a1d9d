"""Refuse a file that cannot be written before minutes are spent on its content."""

import os
from argparse import Namespace
from pathlib import Path

from qcore.adapters.cli.errors import BadInputError


def given_files(arguments: Namespace) -> list[Path]:
    """Return the files of samples or statistics that were given."""
    named = (getattr(arguments, name, None) for name in ("data", "statistics"))
    return [file for path in named if path is not None for file in _files(path)]


def _files(path: Path) -> list[Path]:
    """Return a file, or those of a folder that may be samples."""
    if not path.is_dir():
        return [path]
    # ONNX may be missing, and not be needed.
    from qcore.adapters.onnx.data import folder, images  # noqa: PLC0415

    suffixes = {*folder.SUFFIXES, *images.SUFFIXES}
    return [f for f in folder.visible_files(path) if f.suffix.lower() in suffixes]


def check_output(path: Path, *inputs: Path) -> None:
    """Refuse a path that cannot be written, or would replace one of the inputs."""
    if path.exists() and not path.is_file():
        raise BadInputError(
            f"--output must be a file; {str(path)!r} is something else."
        )
    if not path.parent.is_dir():
        raise BadInputError(f"--output: there is no folder {str(path.parent)!r}.")
    if not os.access(path.parent, os.W_OK):
        raise BadInputError(f"--output: cannot write to {str(path.parent)!r}.")
    for source in inputs:
        if path.exists() and source.exists() and path.samefile(source):
            raise BadInputError(
                f"--output would replace its own input {str(source)!r}."
            )
