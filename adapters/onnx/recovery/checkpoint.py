"""What recovery has found for layers, in files: so it can be stopped and go on.

A folder holds a file for each layer that is done, in safetensors form. Each says of
which model, data and options it is; those of others are refused.
"""

from contextlib import suppress
from pathlib import Path

import numpy as np

from qcore.adapters.given_path import NoFolderError
from qcore.adapters.onnx.recovery.change import Change
from qcore.adapters.recovery_levels import Level
from qcore.errors import QuantError
from qcore.files import VERSION, read_arrays, write_arrays

NAME = "layer-{:05d}.safetensors"


def find_folder(path: object, level: Level, /) -> Path | None:
    """
    Return a folder that can be written to or made, if there is to be one.

    Raises
    ------
    TypeError, QuantError
        If the path is none, or that of a file, or lies in no folder; or nothing is to
        be recovered.
    """
    if path is None:
        return None
    if level == "none":
        raise QuantError(
            "`checkpoint` must come with data to recover with; nothing is recovered."
        )
    try:
        folder = Path(path)  # type: ignore[arg-type]
    except TypeError as error:
        raise TypeError(
            f"`checkpoint` must be a path; got {type(path).__name__}."
        ) from error
    if folder.exists() and not folder.is_dir():
        raise QuantError(f"`checkpoint` must be a folder; {str(path)!r} is none.")
    if not folder.parent.is_dir():
        raise NoFolderError(
            f"`checkpoint` must lie in an existing folder; got {str(path)!r}."
        )
    return folder


class Checkpoint:
    """The layers that are done.

    Parameters
    ----------
    folder : path
        Where they are kept; made if it is not there.
    origin : str
        A digest of all that they depend on.
    """

    def __init__(self, folder: Path, origin: str) -> None:
        self.folder, self.origin = folder, origin
        folder.mkdir(exist_ok=True)

    def get(self, number: int, dtype: np.dtype) -> Change | None:
        """
        Return what the layer of this number got, if that is known.

        Parameters
        ----------
        number : int
            Its place among all layers.
        dtype : dtype
            Of the codes of its weight.

        Raises
        ------
        QuantError
            If it was found with another model, data or options, or the file is damaged.
        """
        path = self.folder / NAME.format(number)
        if not path.exists():
            return None
        with read_arrays(path, "a checkpoint") as (arrays, header):
            is_own, bias = header["origin"] == self.origin, arrays["bias"]
            codes = arrays["codes"].view(dtype) if "codes" in arrays else None
        if not is_own:
            raise QuantError(
                "`checkpoint` must be that of the same model, data, options and "
                f"versions; {str(self.folder)!r} is of others: remove it, or name "
                "another folder."
            )
        return Change(codes, bias)

    def put(self, number: int, change: Change) -> None:
        """Keep what the layer of this number got."""
        arrays = {"bias": np.ascontiguousarray(change.bias)}
        if change.codes is not None:
            # Bit patterns: the file knows no int4 and not all floats of 8 bits.
            bits = np.dtype(f"u{change.codes.itemsize}")
            arrays["codes"] = np.ascontiguousarray(change.codes).view(bits)
        header = {"version": VERSION, "origin": self.origin}
        write_arrays(self.folder / NAME.format(number), arrays, header)


def remove_checkpoint(folder: Path, /) -> None:
    """Remove the files of a checkpoint, and the folder if nothing else is in it."""
    files = NAME.replace("{:05d}", "*")
    for pattern in (files, f".{files}.*.part"):  # what a write left that was cut short
        for path in folder.glob(pattern):
            path.unlink()
    with suppress(OSError):
        folder.rmdir()
