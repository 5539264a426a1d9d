"""Chosen tensors of a safetensors file, which may hold gigabytes of others.

The file begins with the length of a header, eight bytes, and the header, JSON: of each
tensor its type, shape and place. https://github.com/huggingface/safetensors
"""

from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from qcore.adapters.records.json_document import Found, parsed
from qcore.errors import FileFormatError

LARGEST_HEADER = 100_000_000
"""Bytes; the format's own limit."""

_DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "<u2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U8": "u1",
}


def read_tensors(
    path: Path, title: str, wanted: Callable[[str], bool], /
) -> dict[str, Any]:
    """
    Return the arrays of numpy of those names that are wanted.

    Numbers of bfloat16, which numpy lacks, are float32.

    Raises
    ------
    FileFormatError
        If the file is no safetensors, or a tensor is of a type without numbers; it
        names the tensor.
    OSError
        If the file cannot be read.
    """
    expected = f"{path} must be a {title}"
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(size - 8, LARGEST_HEADER):
            raise FileFormatError(f"{expected}; it is no safetensors file.")
        header = parsed(file.read(length), expected)
        arrays = {}
        for name, one in header.entries():
            if name == "__metadata__" or not wanted(name):
                continue
            start, end = _place(one, size - 8 - length)
            file.seek(8 + length + start)
            arrays[name] = _array(one, file.read(end - start))
    return arrays


def _place(found: Found, size: int) -> tuple[int, int]:
    """Return where a tensor begins and ends, within the data."""
    places = [place.whole(0, 2**62) for place in found["data_offsets"].items()]
    if len(places) != 2 or not places[0] <= places[1] <= size:
        raise found["data_offsets"].wrong(f"two places in the {size} bytes of data")
    return places[0], places[1]


def _array(found: Found, content: bytes) -> Any:
    dtype = found["dtype"].text()
    if dtype not in _DTYPES:
        raise found["dtype"].wrong(f"one of {', '.join(_DTYPES)}")
    shape = [extent.whole(0) for extent in found["shape"].items()]
    if len(shape) > 8 or prod(shape) * np.dtype(_DTYPES[dtype]).itemsize != len(
        content
    ):
        raise found["shape"].wrong(f"one of {len(content)} bytes of {dtype}")
    numbers = np.frombuffer(content, _DTYPES[dtype]).reshape(shape)
    if dtype == "BF16":
        return (numbers.astype(np.uint32) << 16).view(np.float32)
    return numbers
