"""Calibration caches of TensorRT: one scale of int8 for each tensor, as text.

The first line is ``TRT-<version>-<calibrator>``, all others ``name: scale`` with the
scale, ``amax / 127``, as the hexadecimal digits of a float32, the highest byte first.
TensorRT takes a cache of its own version and of the calibrator that asks for it alone.
"""

import re
import struct

from qcore import QParams
from qcore.adapters.records.contents import PathLike, read_lines
from qcore.adapters.records.tensors import INT8, Tensors, checked_lines, decided
from qcore.errors import FileFormatError, QuantError
from qcore.files import written_atomically

TITLE = "calibration cache of TensorRT"
HEADER = "TRT-8601-EntropyCalibration2"
"""Of TensorRT 8.6.1, the last before calibrators were deprecated."""

_HEADER = re.compile(r"TRT-[\w.]+-\w+")
_DIGITS = re.compile(r"[0-9A-Fa-f]{1,8}")


def read(path: PathLike, /) -> dict[str, QParams]:
    """
    Return the scales of a calibration cache.

    Parameters
    ----------
    path : path
        A file that TensorRT wrote, or `write`.

    Returns
    -------
    dict
        From names to symmetric int8 `QParams` of numpy, in the order of the file. A
        scale of 0, of a tensor that was 0 throughout, becomes 1.

    Raises
    ------
    FileFormatError
        If the file is no such cache; it names the line.
    OSError
        If the file cannot be read.
    """
    lines = read_lines(path, TITLE)
    if not lines or not _HEADER.fullmatch(lines[0][1].strip()):
        raise FileFormatError(
            f"{path} must be a {TITLE}; line 1 must be like {HEADER}."
        )
    found: dict[str, QParams] = {}
    for number, line in lines[1:]:
        where = f"{path} must be a {TITLE}; line {number}"
        name, colon, digits = line.rpartition(":")
        name, digits = name.strip(), digits.strip()
        if not (colon and name and _DIGITS.fullmatch(digits)):
            raise FileFormatError(
                f"{where} must be a name and a float32 in hexadecimal digits."
            )
        if name in found:
            raise FileFormatError(f"{where} has {name!r} once more.")
        (scale,) = struct.unpack("!f", int(digits, 16).to_bytes(4, "big"))
        try:
            found[name] = decided(scale or 1.0, 0, INT8)
        except QuantError as error:
            raise FileFormatError(f"{where}: {error}.") from error
    return found


def write(path: PathLike, tensors: Tensors, /, *, header: str = HEADER) -> None:
    """
    Write a calibration cache, atomically.

    Parameters
    ----------
    path : path
        The file; its folder must exist.
    tensors : mapping
        From names to `QParams`: int8, symmetric, per tensor. A narrow format loses
        nothing but its end, for TensorRT has the code -128 too.
    header : str, optional
        The first line, which TensorRT compares with its own.

    Raises
    ------
    QuantError
        If a tensor is quantized otherwise; it names the first.
    TypeError
        If it is no such mapping.
    OSError
        If the file cannot be written.
    """
    if not (isinstance(header, str) and _HEADER.fullmatch(header)):
        raise QuantError(f"`header` must be like {HEADER!r}; got {header!r}.")
    lines = [header]
    for name, scale in checked_lines(tensors, TITLE):
        lines.append(f"{name}: {struct.pack('!f', scale).hex()}")
    with written_atomically(path) as file:
        file.write("".join(f"{line}\n" for line in lines).encode())


def is_one(head: bytes, /) -> bool:
    """Return whether a file that begins so is a calibration cache."""
    return head.startswith(b"TRT-")
