"""How long it will take, for who is watching."""

from collections.abc import Iterable
from typing import Any

from tqdm import tqdm


def terminal_bar(
    items: Iterable[Any], title: str, unit: str, total: int | None = None
) -> Iterable[Any]:
    """Return the items; a bar follows them on a terminal, nothing in a pipe."""
    # `disable=None` is tqdm's way to ask whether stderr is a terminal.
    bar: Iterable[Any] = tqdm(items, title, total, leave=False, unit=unit, disable=None)
    return bar
