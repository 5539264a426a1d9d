"""Calibration tables of ONNX Runtime as text: a name and a magnitude on each line.

``write_calibration_table`` of ``onnxruntime.quantization`` writes them beside those in
flatbuffers, which its TensorRT provider reads.
"""

import re
from collections.abc import Iterator

from qcore import QParams
from qcore.adapters.records.contents import PathLike, read_lines
from qcore.adapters.records.range_table import from_texts, to_texts
from qcore.adapters.records.tensors import Tensors
from qcore.files import written_atomically

TITLE = "calibration table of ONNX Runtime as text"


def read(path: PathLike, /) -> dict[str, QParams]:
    """
    Return the scales of a table.

    Parameters
    ----------
    path : path
        A file of ONNX Runtime's, or that `write` wrote.

    Returns
    -------
    dict
        From names to symmetric int8 `QParams` of numpy, in the order of the file. A
        magnitude of 0, of a tensor that was 0 throughout, gives a scale of 1.

    Raises
    ------
    FileFormatError
        If the file is no such table; it names the line.
    OSError
        If the file cannot be read.
    """
    return from_texts(_texts(path), f"{path} must be a {TITLE}")


def write(path: PathLike, tensors: Tensors, /) -> None:
    """
    Write a table, atomically.

    Parameters
    ----------
    path : path
        The file; its folder must exist.
    tensors : mapping
        From names to `QParams`: int8, symmetric, per tensor.

    Raises
    ------
    QuantError
        If a tensor is quantized otherwise; it names the first.
    TypeError
        If it is no such mapping.
    OSError
        If the file cannot be written.
    """
    lines = [f"{name} {digits}\n" for name, digits in to_texts(tensors, TITLE)]
    with written_atomically(path) as file:
        file.write("".join(lines).encode())


def is_one(head: bytes, /) -> bool:
    """Return whether a file that begins so is such a table: a name and a number."""
    return re.match(rb"[^\n]*\S [-+.\deE]+\r?(\n|$)", head) is not None


def _texts(path: PathLike) -> Iterator[tuple[str, str, str]]:
    for number, line in read_lines(path, TITLE):
        name, _, digits = line.strip().rpartition(" ")
        yield f"line {number}", name.strip(), digits
