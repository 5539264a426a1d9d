"""qcore's own record as safetensors: what `qcore.save_qparams` writes."""

from qcore import QParams, load_qparams, save_qparams
from qcore.adapters.records.contents import PathLike, check_file
from qcore.adapters.records.tensors import Tensors, usable
from qcore.errors import FileFormatError

TITLE = "file of qparams in safetensors"


def read(path: PathLike, /) -> dict[str, QParams]:
    """
    Return the qparams in a file, in arrays of numpy; see `qcore.load_qparams`.

    Raises
    ------
    FileFormatError
        If the file is not one of qparams.
    OSError
        If the file cannot be read.
    """
    check_file(path, TITLE)
    try:
        return load_qparams(path)
    except RecursionError as error:
        raise FileFormatError(
            f"{path} must be a {TITLE}; its header is nested too deeply."
        ) from error


def write(path: PathLike, tensors: Tensors, /) -> None:
    """
    Write qparams to a file, atomically; see `qcore.save_qparams`.

    Raises
    ------
    QuantError
        If a scale is not usable; it names the first such tensor.
    TypeError
        If it is no mapping of names to `QParams`.
    OSError
        If the file cannot be written.
    """
    save_qparams(path, dict(usable(tensors, TITLE)))


def is_one(head: bytes, /) -> bool:
    """Return whether a file that begins so is safetensors, of whatever."""
    length = int.from_bytes(head[:8], "little")
    return head[8:9] == b"{" and 0 < length < 2**27  # the library's own limit is 1e8
