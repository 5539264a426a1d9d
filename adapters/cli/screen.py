"""Names cut so that a table fits the terminal."""

from collections.abc import Sequence
from shutil import get_terminal_size

LEAST = 12
"""Characters that are left of a name however narrow the terminal is."""


def fitting(names: Sequence[str], beside: int) -> list[str]:
    """Return names that leave room for `beside` characters in a line.

    Whole, if the lines go into a file or to another program.
    """
    columns = get_terminal_size((0, 0)).columns
    if not columns:
        return list(names)
    return [cut(name, max(columns - beside, LEAST)) for name in names]


def cut(name: str, width: int) -> str:
    """Return a name in at most `width` characters; what goes is the middle."""
    if len(name) <= width:
        return name
    tail = (width - 1) // 2
    return f"{name[: width - 1 - tail]}…{name[len(name) - tail :]}"
