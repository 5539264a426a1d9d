"""How long it will take, for who is watching."""

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from tqdm import tqdm

Progress: TypeAlias = Callable[[Iterable[Any], int | None], Iterable[Any]]
"""Given samples and their number if known, gives the same samples and tells of them."""


def terminal_bar(samples: Iterable[Any], total: int | None) -> Iterable[Any]:
    """Return the samples; a bar follows them on a terminal, nothing in a pipe."""
    # `disable=None` is tqdm's way to ask whether stderr is a terminal.
    bar: Iterable[Any] = tqdm(
        samples, "calibrating", total, leave=False, unit="sample", disable=None
    )
    return bar
