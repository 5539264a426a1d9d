"""What makes an input, and what reads it, by the names of leaves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qcore.errors import nearest


@dataclass(frozen=True)
class Pair:
    """Names of leaves.

    Attributes
    ----------
    makers, readers : tuple of str
        What scales an input, and what it is multiplied by.
    """

    makers: tuple[str, ...]
    readers: tuple[str, ...]

    def numbered(
        self, numbers: Mapping[str, int], /
    ) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the numbers of both; ValueError if one is that of no leaf."""
        for name in (*self.makers, *self.readers):
            if name not in numbers:
                raise ValueError(
                    "`pairs` must hold names of leaves of the parameters; got "
                    f"{name!r}: {nearest(name, numbers)}"
                )
        makers, readers = (
            tuple(numbers[name] for name in names)
            for names in (self.makers, self.readers)
        )
        return makers, readers


def read_pairs(given: Any, /) -> list[Pair]:
    """Return pairs; TypeError unless they are such."""
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise TypeError(
            "`pairs` must be a sequence of makers and readers; got "
            f"{type(given).__name__}."
        )
    return [_pair(one) for one in given]


def _pair(given: Any) -> Pair:
    if isinstance(given, Sequence) and not isinstance(given, str) and len(given) == 2:
        makers, readers = map(_names, given)
        if makers and readers:
            return Pair(makers, readers)
    raise TypeError(
        "`pairs` must hold pairs of names of leaves, or sequences of such; got "
        f"{given!r}."
    )


def _names(given: Any) -> tuple[str, ...]:
    names = (given,) if isinstance(given, str) else given
    if isinstance(names, Sequence) and all(isinstance(name, str) for name in names):
        return tuple(names)
    return ()
