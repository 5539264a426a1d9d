"""Calibration tables of ONNX Runtime in flatbuffers, which its TensorRT provider reads.

A table ``TrtTable`` has a vector ``dict`` of tables ``KeyValue`` with two strings: the
name and the digits of a magnitude. Offsets lead from where they are; that of a table
to the places of its fields leads back. See CalTableFlatBuffers in onnxruntime.
"""

import struct
from collections.abc import Iterator

from qcore import QParams
from qcore.adapters.records.contents import PathLike, read_bytes
from qcore.adapters.records.range_table import from_texts, to_texts
from qcore.adapters.records.tensors import Tensors
from qcore.errors import FileFormatError
from qcore.files import written_atomically

TITLE = "calibration table of ONNX Runtime in flatbuffers"

_PLACES_OF_TABLE, _PLACES_OF_PAIR, _TABLE, _VECTOR = 4, 10, 20, 28
"""Where `write` puts things; the pairs and their strings follow the vector."""


class _DamagedError(Exception):
    """An offset leads out of the file, or strings overlap."""


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
        If the file is no such table.
    OSError
        If the file cannot be read.
    """
    expected = f"{path} must be a {TITLE}"
    content = read_bytes(path, TITLE)
    try:
        return from_texts(_texts(content), expected)
    except (_DamagedError, UnicodeDecodeError) as error:
        raise FileFormatError(f"{expected}; {error}.") from error


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
    pairs = [tuple(map(_string, pair)) for pair in to_texts(tensors, TITLE)]
    content = struct.pack("<I3H4H2x", _TABLE, 6, 8, 4, 8, 12, 4, 8)
    content += struct.pack("<iI", _TABLE - _PLACES_OF_TABLE, _VECTOR - _TABLE - 4)
    content += struct.pack("<I", len(pairs))
    # Each pair, of 12 bytes, is followed by its strings.
    offsets, body = [], bytearray()
    start = _VECTOR + 4 + 4 * len(pairs)
    for place, (name, digits) in enumerate(pairs):
        here = start + len(body)
        offsets.append(here - (_VECTOR + 4 + 4 * place))
        body += struct.pack("<iII", here - _PLACES_OF_PAIR, 8, 4 + len(name))
        body += name + digits
    content += struct.pack(f"<{len(offsets)}I", *offsets) + body
    with written_atomically(path) as file:
        file.write(content)


def is_one(head: bytes, /) -> bool:
    """Return whether a file that begins so may be such a table."""
    try:
        return _field(head, _offset(head, 0), 0) is not None
    except _DamagedError:
        return False


def _texts(content: bytes) -> Iterator[tuple[str, str, str]]:
    """Yield places, names and digits of the pairs."""
    vector = _field(content, _offset(content, 0), 0)
    if vector is None:
        return
    length = _number(content, vector, "<I")
    if length > (len(content) - vector) // 4:
        raise _DamagedError(f"it has no room for {length} tensors")
    left = len(content)
    for place in range(length):
        pair = _offset(content, vector + 4 + 4 * place)
        name, digits = (_bytes(content, _field(content, pair, n)) for n in (0, 1))
        left -= len(name) + len(digits)
        if left < 0:  # else a short file could stand for a very long one
            raise _DamagedError("its strings overlap")
        yield f"tensor {place}", name.decode(), digits.decode()


def _field(content: bytes, table: int, field: int) -> int | None:
    """Return where a field of a table leads to, None if the table lacks it."""
    places = table - _number(content, table, "<i")
    if 4 + 2 * field >= _number(content, places, "<H"):
        return None
    place = _number(content, places + 4 + 2 * field, "<H")
    return _offset(content, table + place) if place else None


def _offset(content: bytes, at: int) -> int:
    """Return where an offset leads to."""
    return at + _number(content, at, "<I")


def _bytes(content: bytes, at: int | None) -> bytes:
    """Return what is in the string at a place; of none, nothing."""
    if at is None:
        return b""
    end = at + 4 + _number(content, at, "<I")
    if end > len(content):
        raise _DamagedError(f"it ends within a string at byte {at}")
    return content[at + 4 : end]


def _number(content: bytes, at: int, form: str) -> int:
    if not 0 <= at <= len(content) - struct.calcsize(form):
        raise _DamagedError(f"it has no byte {at}")
    (number,) = struct.unpack_from(form, content, at)
    return int(number)


def _string(text: str) -> bytes:
    """Return a string with its length before it, a zero behind it, whole words."""
    content = text.encode()
    return struct.pack("<I", len(content)) + content + bytes(4 - len(content) % 4)
