"""Names cut so that a table fits the terminal."""

from collections.abc import Sequence
from shutil import get_terminal_size

LEAST = 12
"""Characters that are left of a name however narrow the terminal is."""


GAP = 2
"""Characters between two columns of a table."""


def fitted(
    header: Sequence[str], rows: Sequence[tuple[str, ...]]
) -> list[tuple[str, ...]]:
    """Return rows whose first cells, names, leave room for the others.

    All stays whole if the lines go into a file or to another program.
    """
    columns = get_terminal_size((0, 0)).columns
    if not columns:
        return list(rows)
    others = list(zip(header, *rows, strict=True))[1:]
    beside = sum(GAP + max(map(len, column)) for column in others)
    width = max(columns - beside, LEAST)
    return [(cut(name, width), *cells) for name, *cells in rows]


def cut(name: str, width: int) -> str:
    """Return a name in at most `width` characters; what goes is the middle."""
    if len(name) <= width:
        return name
    tail = (width - 1) // 2
    return f"{name[: width - 1 - tail]}…{name[len(name) - tail :]}"
