"""How long calibration will take, for who is watching."""

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from qcore.adapters.progress import terminal_bar

Progress: TypeAlias = Callable[[Iterable[Any], int | None], Iterable[Any]]
"""Given samples and their number if known, gives the same samples and tells of them."""


def sample_bar(samples: Iterable[Any], total: int | None) -> Iterable[Any]:
    """Return the samples, followed by a bar."""
    return terminal_bar(samples, "calibrating", "sample", total)
