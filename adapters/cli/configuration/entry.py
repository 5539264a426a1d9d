"""What a configuration file says of one argument, and where."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

from qcore.adapters.cli.errors import BadInputError

Value: TypeAlias = "str | bool | list[str] | tuple[Entry, ...] | None"
"""Text as it is written, but for true and false; several; or entries below."""


@dataclass(frozen=True)
class Place:
    """A line of a file."""

    file: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}, {self.text.strip()!r}"


@dataclass(frozen=True)
class Entry:
    """A name, what it is to be, and where that is written."""

    key: str
    value: Value
    place: Place


@contextmanager
def placed(place: Place) -> Iterator[None]:
    """Say where it is written what the block refuses."""
    try:
        yield
    except Refused as error:
        raise BadInputError(f"{place}: {error}") from error


class Refused(Exception):  # noqa: N818 - a sentence that is not whole without its place
    """What is wrong with an entry."""
