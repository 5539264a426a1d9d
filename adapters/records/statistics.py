"""What was collected of tensors, read as what a method makes of it."""

from typing import Any

import qcore
from qcore import QParams, QuantSpec
from qcore.adapters.records.contents import PathLike, check_file
from qcore.adapters.records.onnxruntime_json import UINT8
from qcore.adapters.records.qparams_safetensors import is_one as is_safetensors
from qcore.errors import FileFormatError, QuantError

TITLE = "file of statistics"


def read(
    path: PathLike, /, *, spec: QuantSpec = UINT8, method: str = "mse", **options: Any
) -> dict[str, QParams]:
    """
    Return the scales that a method chooses.

    Parameters
    ----------
    path : path
        A file that `qcore.save` wrote, or ``qcore calibrate``.
    spec : QuantSpec, optional
        Of the codes.
    method : str, optional
        As of `qcore.calibrate`.
    **options
        Of the method.

    Returns
    -------
    dict
        From names to `QParams` of numpy, in the order of the file.

    Raises
    ------
    FileFormatError
        If the file is not one of statistics.
    QuantError
        If the method cannot choose; it names the tensor.
    OSError
        If the file cannot be read.
    """
    check_file(path, TITLE)
    try:
        states = qcore.load(path)
    except RecursionError as error:
        raise FileFormatError(
            f"{path} must be a {TITLE}; its header is nested too deeply."
        ) from error
    found = {}
    for name, state in states.items():
        try:
            found[name] = qcore.calibrate(state, spec, method, **options)
        except (TypeError, ValueError) as error:
            raise QuantError(f"the tensor {name!r} of {path}: {error}") from error
    return found


def is_one(head: bytes, /) -> bool:
    """Return whether a file that begins so is one of statistics."""
    return is_safetensors(head) and b'\\"states\\": [' in head
