"""JSON that others wrote: values that know where they are, for errors."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite
from reprlib import Repr
from typing import Any

import numpy as np

from qcore.adapters.records.contents import PathLike, read_bytes
from qcore.errors import FileFormatError

_REPR = Repr()
_REPR.maxstring = _REPR.maxlong = _REPR.maxother = 60
_REPR.maxlevel, _REPR.maxdict, _REPR.maxlist = 2, 3, 4


_DEEPEST = 8
"""Lists in each other that hold an array."""


@dataclass(frozen=True)
class Found:
    """A value in a document.

    Attributes
    ----------
    value : object
        As Python's json has it.
    where : str
        What leads to it, such as ``encodings[3].y_scale``.
    expected : str
        What the document must be, the beginning of a sentence.
    """

    value: Any
    where: str
    expected: str

    def wrong(self, needed: str) -> FileFormatError:
        """Return the error that it is not what is needed there."""
        where = self.where or "the document"
        return FileFormatError(
            f"{self.expected}; {where} must be {needed}; got {_shown(self.value)}."
        )

    def said(self, reason: object) -> FileFormatError:
        """Return the error that something is the matter with it."""
        where = self.where or "the document"
        return FileFormatError(f"{self.expected}; {where}: {reason}.")

    def __contains__(self, key: str) -> bool:
        return isinstance(self.value, dict) and key in self.value

    def __getitem__(self, key: str) -> "Found":
        if key not in self.mapping():
            raise self.wrong(f"an object with the key {key!r}")
        return self._at(key)

    def get(self, key: str, default: object = None) -> "Found":
        """Return what is under a key, or the default in its place."""
        return self._at(key) if key in self.mapping() else self._at(key, default)

    def mapping(self) -> dict[str, Any]:
        """Return it as a dictionary."""
        if not isinstance(self.value, dict):
            raise self.wrong("an object")
        return self.value

    def entries(self) -> Iterator[tuple[str, "Found"]]:
        """Yield keys and values of an object."""
        for key in self.mapping():
            yield key, self._at(key)

    def items(self) -> Iterator["Found"]:
        """Yield the values of a list."""
        if not isinstance(self.value, list):
            raise self.wrong("a list")
        for place, value in enumerate(self.value):
            yield Found(value, f"{self.where}[{place}]", self.expected)

    def text(self) -> str:
        """Return it as a string."""
        if not isinstance(self.value, str):
            raise self.wrong("a string")
        return self.value

    def flag(self) -> bool:
        """Return it as true or false."""
        if not isinstance(self.value, bool):
            raise self.wrong("true or false")
        return self.value

    def number(self) -> float:
        """Return it as a finite number."""
        if isinstance(self.value, bool) or not isinstance(self.value, int | float):
            raise self.wrong("a number")
        try:
            number = float(self.value)
        except OverflowError:
            raise self.wrong("a number that float64 holds") from None
        if not isfinite(number):
            raise self.wrong("a finite number")
        return number

    def whole(self, least: int = -(2**31), most: int = 2**31 - 1) -> int:
        """Return it as a whole number within bounds."""
        number = self.number()
        if number != int(number) or not least <= number <= most:
            raise self.wrong(f"a whole number in [{least}, {most}]")
        return int(number)

    def array(self, *, whole: bool = False) -> np.ndarray:
        """Return numbers in lists of equal lengths as an array, a number as 0-d."""
        numbers: list[float] = []
        shape = self._gather(numbers, whole, 0)
        return np.asarray(numbers, np.int64 if whole else np.float64).reshape(shape)

    def _gather(self, into: list[float], whole: bool, depth: int) -> tuple[int, ...]:
        """Add the numbers to a list; return the shape of them."""
        if not isinstance(self.value, list):
            into.append(self.whole() if whole else self.number())
            return ()
        if depth == _DEEPEST:
            raise self.wrong(f"a number, {_DEEPEST} lists deep")
        shapes = [item._gather(into, whole, depth + 1) for item in self.items()]
        if len(set(shapes)) > 1:
            raise self.wrong("a list of equally long ones")
        return (len(shapes), *(shapes[0] if shapes else ()))

    def _at(self, key: str, *default: object) -> "Found":
        where = f"{self.where}.{key}" if self.where else key
        value = default[0] if default else self.value[key]
        return Found(
            value, where if len(where) <= 200 else _shown(where), self.expected
        )


def read_json(path: PathLike, title: str, /) -> Found:
    """
    Return the document in a file.

    Raises
    ------
    FileFormatError
        If it is no JSON, an object in it has a key twice, or a key is no Unicode.
    OSError
        If the file cannot be read.
    """
    return parsed(read_bytes(path, title), f"{path} must be a {title}")


def parsed(content: bytes, expected: str, /) -> Found:
    """
    Return the document in some bytes.

    Raises
    ------
    FileFormatError
        As of `read_json`; `expected` begins what it says.
    """
    try:
        document = json.loads(
            content.decode(), object_pairs_hook=_unique, parse_constant=_no_number
        )
    except json.JSONDecodeError as error:
        reason = f"{error.msg} in line {error.lineno}, column {error.colno}"
        raise FileFormatError(f"{expected}; it is no JSON: {reason}.") from error
    except RecursionError as error:
        reason = "it is nested too deeply"
        raise FileFormatError(f"{expected}; {reason}.") from error
    except ValueError as error:  # not UTF-8, too many digits, or one of ours
        raise FileFormatError(f"{expected}; it is no JSON: {error}.") from error
    return Found(document, "", expected)


def to_bytes(document: object, /) -> bytes:
    """Return a document as JSON for people to read, numbers in full."""
    text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)
    return f"{text}\n".encode()


def _shown(value: object) -> str:
    return _REPR.repr(value)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        ((twice, _),) = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"an object has the key {_shown(twice)} twice")
    for key in found:
        try:
            key.encode()
        except UnicodeEncodeError:
            raise ValueError(f"the key {_shown(key)} is no Unicode") from None
    return found


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")
