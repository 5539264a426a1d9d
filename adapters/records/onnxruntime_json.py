"""Calibration tables of ONNX Runtime as JSON: the range of each tensor.

``save_tensors_data`` and ``write_calibration_table`` of ``onnxruntime.quantization``
write them, ``load_tensors_data`` and ``quantize_static`` read them. Ranges are float32:
a scale that was written comes back within one unit in the last place.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from qcore import QParams, QuantSpec
from qcore.adapters.records.contents import PathLike
from qcore.adapters.records.grid_ranges import range_of, ranged
from qcore.adapters.records.json_document import Found, read_json, to_bytes
from qcore.adapters.records.tensors import Tensors, check_one_scale, checked, integers
from qcore.errors import QuantError
from qcore.files import written_atomically

TITLE = "calibration table of ONNX Runtime"
UINT8 = QuantSpec("uint8", symmetric=False)
"""What activations are by default."""

_LARGEST = float(np.finfo(np.float32).max)


def read(path: PathLike, /, *, spec: QuantSpec = UINT8) -> dict[str, QParams]:
    """
    Return the codes that reach the ranges of a table.

    Parameters
    ----------
    path : path
        A file of ONNX Runtime's, or that `write` wrote; a range may also be a plain
        list of two numbers, as older versions had it.
    spec : QuantSpec, optional
        Of the codes, per tensor; the table does not tell.

    Returns
    -------
    dict
        From names to 0-d `QParams` of numpy, in the order of the file.

    Raises
    ------
    FileFormatError
        If the file is no such table; it names the key.
    OSError
        If the file cannot be read.
    """
    document = read_json(path, TITLE)
    tensors = document["data"] if _is_saved(document.mapping()) else document
    return {name: _read(one, spec) for name, one in tensors.entries()}


def write(path: PathLike, tensors: Tensors, /) -> None:
    """
    Write a table, atomically.

    Parameters
    ----------
    path : path
        The file; its folder must exist.
    tensors : mapping
        From names to `QParams`: integers, per tensor.

    Raises
    ------
    QuantError
        If a tensor is quantized otherwise; it names the first.
    TypeError
        If it is no such mapping.
    OSError
        If the file cannot be written.
    """
    data = {}
    for name, one in checked(tensors, TITLE):
        check_one_scale(name, one, TITLE)
        low, high = range_of(one, integers(name, one, TITLE))
        data[name] = {
            "lowest": _number(name, low),
            "highest": _number(name, high),
            "CLS": "TensorData",
        }
    method = {"CLS": "CalibrationMethod", "value": "CalibrationMethod.MinMax"}
    document = {"CLS": "TensorsData", "data": data, "calibration_method": method}
    with written_atomically(path) as file:
        file.write(to_bytes(document))


def is_one(document: Mapping[str, Any], /) -> bool:
    """Return whether an object is such a table."""
    return bool(document) and (
        _is_saved(document) or all(map(_is_range, document.values()))
    )


def _is_saved(document: Mapping[str, Any]) -> bool:
    return document.get("CLS") == "TensorsData"


def _is_range(value: object) -> bool:
    if isinstance(value, dict):
        return "lowest" in value and "highest" in value
    return isinstance(value, list) and len(value) == 2


def _read(found: Found, spec: QuantSpec) -> QParams:
    if isinstance(found.value, list):
        if len(found.value) != 2:
            raise found.wrong("a list of two numbers")
        low, high = map(_end, found.items())
    else:
        low, high = _end(found["lowest"]), _end(found["highest"])
    if low > high:
        raise found.said(f"lowest must not exceed highest; got {low} and {high}")
    return ranged(low, high, spec)


def _end(found: Found) -> float:
    """Return a number, which may be in lists by itself, or an array of one."""
    if isinstance(found.value, dict):
        found = found["data"]
    numbers = found.array()
    if numbers.size != 1:
        raise found.wrong("a single number, as a table of ranges per tensor has it")
    number = float(numbers.reshape(()))
    if abs(number) > _LARGEST:
        raise found.wrong("a number of float32")
    return number


def _number(name: str, number: float) -> dict[str, Any]:
    """Return a number as ONNX Runtime's encoder writes an array of it."""
    if abs(number) > _LARGEST:
        raise QuantError(
            f"a {TITLE} holds ranges in float32; that of the tensor {name!r} ends at "
            f"{number}."
        )
    data = float(np.float32(number))
    return {"data": data, "dtype": "float32", "CLS": "numpy.array"}
