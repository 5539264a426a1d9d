"""What ONNX Runtime's tables for TensorRT hold: the largest magnitude of each tensor.

As decimal digits, which TensorRT's provider reads as float32 and TensorRT divides
by 127.
"""

from collections.abc import Iterable, Iterator
from math import isfinite

from qcore import QParams
from qcore.adapters.records.tensors import INT8, Tensors, checked_lines, decided
from qcore.errors import FileFormatError, QuantError

QMAX = 127


def to_texts(tensors: Tensors, title: str, /) -> Iterator[tuple[str, str]]:
    """
    Yield names and the digits of their largest magnitudes.

    Raises
    ------
    TypeError, QuantError
        If a table cannot hold a tensor; it names the first.
    """
    for name, scale in checked_lines(tensors, title):
        # Exact in float64, so that the scale comes back bit for bit.
        yield name, repr(scale * QMAX)


def from_texts(
    texts: Iterable[tuple[str, str, str]], expected: str, /
) -> dict[str, QParams]:
    """
    Return the scales of places, names and digits.

    Raises
    ------
    FileFormatError
        If a name is there twice, or a magnitude cannot be used; it names the place.
    """
    found: dict[str, QParams] = {}
    for where, name, digits in texts:
        if not name:
            raise FileFormatError(f"{expected}; {where} must have a name.")
        if name in found:
            raise FileFormatError(f"{expected}; {where} has {name!r} once more.")
        try:
            amax = float(digits)
        except ValueError:
            amax = -1.0
        if not (isfinite(amax) and amax >= 0):
            raise FileFormatError(
                f"{expected}; {where} must have a magnitude; got {digits[:40]!r}."
            )
        try:
            found[name] = decided(amax / QMAX if amax else 1.0, 0, INT8)
        except QuantError as error:
            raise FileFormatError(f"{expected}; {where}: {error}.") from error
    return found
