"""Samples in a folder, a file for each."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from qcore.adapters.onnx.inputs import Feed, Input
from qcore.adapters.onnx.npz import undamaged
from qcore.errors import QuantError

SUFFIXES = (".npy", ".npz")


class FolderFeeds:
    """Samples of a folder in the order of the files' names.

    An .npz file holds an array for each input of the model, an .npy file that of the
    only one. The batch axis may be missing. Hidden files are passed over.
    """

    def __init__(self, path: Path, inputs: Sequence[Input]) -> None:
        self.inputs = inputs
        self.files = sorted(f for f in path.iterdir() if not f.name.startswith("."))
        if not self.files:
            raise QuantError(f"`data` must hold samples; {str(path)!r} is empty.")
        for file in self.files:
            if file.suffix not in SUFFIXES:
                known = " or ".join(SUFFIXES)
                raise QuantError(f"files of `data` must be {known}; got {str(file)!r}.")
            if file.suffix == ".npy" and len(inputs) != 1:
                raise QuantError(
                    f"a sample of {len(inputs)} inputs must be an .npz file; got "
                    f"{str(file)!r}."
                )

    def __len__(self) -> int:
        return len(self.files)

    def __iter__(self) -> Iterator[Feed]:
        ranks = {i.name: i.shape and len(i.shape) for i in self.inputs}
        for file in self.files:
            arrays = _arrays(file, self.inputs[0].name)
            yield {
                name: x[None] if x.ndim + 1 == ranks.get(name) else x
                for name, x in arrays.items()
            }


def _arrays(file: Path, name: str) -> dict[str, np.ndarray]:
    """Return the arrays of a file by input; `name` is that of the only one."""
    with undamaged(file):
        try:
            found = np.load(file)
            if isinstance(found, np.ndarray):
                return {name: found}
            with found:
                return {key: found[key] for key in found.files}
        except ValueError as error:  # no array, or of Python objects
            raise QuantError(f"{str(file)!r} must hold arrays: {error}") from error
