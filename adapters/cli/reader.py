"""Samples that the user's own code gives."""

from collections.abc import Iterable, Iterator, Mapping, Sized
from contextlib import contextmanager
from typing import Any

from qcore.adapters.cli.errors import BadInputError
from qcore.adapters.cli.own_code import find_function


def read(named: str, /) -> Any:
    """
    Return the samples, or their file, that a function gives.

    Parameters
    ----------
    named : str
        ``module:function``; the module is looked for in the current folder, too.

    Raises
    ------
    BadInputError
        If there is no such function, it cannot be called without arguments, or it or,
        later, its samples raise anything.
    """
    function = find_function("--reader", named, "give samples")
    with _told(named):
        data = function()
    if hasattr(data, "get_next"):
        return _Streamed(named, _Reader(data))
    if isinstance(data, str | Mapping) or hasattr(data, "__array__"):
        return data
    if hasattr(data, "__getitem__") and isinstance(data, Sized):
        return _Listed(named, data)
    return _Streamed(named, data) if isinstance(data, Iterable) else data


class _Reader:
    """What onnxruntime calls a CalibrationDataReader, as an iterable."""

    def __init__(self, reader: Any) -> None:
        self.reader = reader

    def __iter__(self) -> Iterator[Any]:
        return iter(self.reader.get_next, None)


class _Listed:
    """Samples that are known before they are read; what they raise is told."""

    def __init__(self, named: str, data: Any) -> None:
        self.named, self.data = named, data

    def __len__(self) -> int:
        with _told(self.named):
            return len(self.data)

    def __getitem__(self, number: int) -> Any:
        with _told(self.named, number):
            return self.data[number]


class _Streamed:
    """Samples that come one after the other; what they raise is told."""

    def __init__(self, named: str, data: Iterable[Any]) -> None:
        self.named, self.data = named, data

    def __len__(self) -> int:
        return len(self.data)  # type: ignore[arg-type]  # TypeError if unknown

    def __iter__(self) -> Iterator[Any]:
        with _told(self.named):
            samples = iter(self.data)
        number = 0
        while True:
            with _told(self.named, number):
                try:
                    sample = next(samples)
                except StopIteration:
                    return
            yield sample
            number += 1


@contextmanager
def _told(named: str, number: int | None = None) -> Iterator[None]:
    """Say whose error it is, and in which sample."""
    try:
        yield
    except (Exception, SystemExit) as error:  # code of the user's may raise anything
        where = "" if number is None else f" in sample {number}"
        raise BadInputError(
            f"--reader {named} must give samples; it raises {type(error).__name__}"
            f"{where}: {error}"
        ) from error
