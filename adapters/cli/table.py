"""A table as lines of text."""

import sys
from collections.abc import Iterator, Sequence

from qcore.adapters.cli.colour import BOLD, painted
from qcore.adapters.cli.printable import printable


def table(
    header: Sequence[str], rows: Sequence[Sequence[str]], text: int = 1
) -> Iterator[str]:
    """Yield aligned lines: `text` columns to the left, the others to the right.

    The header is bold on a terminal.
    """
    header, rows = _shown(header), list(map(_shown, rows))
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    for row in (header, *rows):
        cells = (
            cell.ljust(width) if place < text else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        line = "  ".join(cells).rstrip()
        yield painted(line, BOLD, sys.stdout) if row is header else line


def _shown(cells: Sequence[str]) -> list[str]:
    return list(map(printable, cells))
