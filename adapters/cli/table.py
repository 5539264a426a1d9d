"""A table as lines of text."""

from collections.abc import Iterator, Sequence


def table(
    header: Sequence[str], rows: Sequence[Sequence[str]], text: int = 1
) -> Iterator[str]:
    """Yield aligned lines: `text` columns to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    for row in (header, *rows):
        cells = (
            cell.ljust(width) if place < text else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        yield "  ".join(cells).rstrip()
