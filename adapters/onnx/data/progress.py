"""How long going through samples will take, for who is watching."""

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from qcore.adapters.progress import terminal_bar

Progress: TypeAlias = Callable[[Iterable[Any], int | None], Iterable[Any]]
"""Given samples and their number if known, gives the same samples and tells of them."""


def sample_bar(samples: Iterable[Any], total: int | None) -> Iterable[Any]:
    """Return the samples, followed by a bar of calibration."""
    return terminal_bar(samples, "calibrating", "sample", total)


def followed(
    progress: Progress | None,
    samples: Iterable[Any],
    total: int | None,
    bar: Progress = sample_bar,
) -> Iterable[Any]:
    """Return samples as `progress` gives them, or followed by a bar if it is None.

    Raises
    ------
    TypeError
        If it cannot be called, or gives none back.
    """
    follow = bar if progress is None else progress
    if not callable(follow):
        raise TypeError(f"`progress` must be a function; got {progress!r}.")
    given = follow(samples, total)
    if not isinstance(given, Iterable):
        raise TypeError(
            "`progress` must give the samples that it was given; it gave "
            f"{type(given).__name__}."
        )
    return given
