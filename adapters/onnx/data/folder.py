"""Samples in a folder, a file for each."""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from qcore.adapters.onnx.data.inputs import Feed, Input
from qcore.adapters.onnx.data.npz import undamaged
from qcore.adapters.onnx.data.picking import KnownFeeds
from qcore.errors import QuantError

SUFFIXES = (".npy", ".npz")


class FolderFeeds(KnownFeeds):
    """Samples of a folder in the order of the files' names.

    An .npz file holds an array for each input of the model, an .npy file that of the
    only one. The batch axis may be missing. Files in folders below belong to it, hidden
    ones do not.
    """

    def __init__(self, path: Path, inputs: Sequence[Input]) -> None:
        self.inputs = inputs
        self.files = visible_files(path)
        for file in self.files:
            if file.suffix not in SUFFIXES:
                known = " or ".join(SUFFIXES)
                raise QuantError(
                    f"files of `data` must be {known}; got {str(file)!r}: pictures are "
                    "read with --preprocess, or as an ImageFolder."
                )
            if file.suffix == ".npy" and len(inputs) != 1:
                raise QuantError(
                    f"a sample of {len(inputs)} inputs must be an .npz file; got "
                    f"{str(file)!r}."
                )

    def __len__(self) -> int:
        return len(self.files)

    def pick(self, numbers: Iterable[int]) -> Iterator[Feed]:
        """Yield the samples in these files."""
        ranks = {i.name: i.shape and len(i.shape) for i in self.inputs}
        for file in map(self.files.__getitem__, numbers):
            arrays = _arrays(file, self.inputs[0].name)
            yield {
                name: x[None] if x.ndim + 1 == ranks.get(name) else x
                for name, x in arrays.items()
            }


def visible_files(path: Path, /) -> list[Path]:
    """
    Return the files in a folder and those below it, ordered by their paths.

    Raises
    ------
    QuantError
        If it is no folder, or there are none.
    """
    if not path.is_dir():
        raise QuantError(f"`data` must be a folder; there is none {str(path)!r}.")
    files = [Path(folder, name) for folder, _, names in os.walk(path) for name in names]
    shown = sorted(
        f for f in files if not any(p[0] == "." for p in f.relative_to(path).parts)
    )
    if not shown:
        raise QuantError(f"`data` must hold samples; {str(path)!r} is empty.")
    return shown


def _arrays(file: Path, name: str) -> dict[str, np.ndarray]:
    """Return the arrays of a file by input; `name` is that of the only one."""
    with undamaged(file):
        try:
            # Mapped: a header that claims more than there is allocates nothing.
            with np.errstate(over="raise"):
                found = np.load(file, mmap_mode="r")
            if isinstance(found, np.ndarray):
                return {name: found}
            with found:
                return {key: found[key] for key in found.files}
        except ValueError as error:  # no array, or of Python objects
            raise QuantError(f"{str(file)!r} must hold arrays: {error}") from error
