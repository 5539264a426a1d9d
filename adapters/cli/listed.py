"""A list of names as lines of text."""

from collections.abc import Iterator, Mapping, Sequence
from textwrap import wrap

from qcore.adapters.cli.printable import printable

_INDENT = "    "


def listed(what: str, names: Sequence[str]) -> Iterator[str]:
    """Yield what the names are, how many, and these over as many lines as it takes."""
    what = printable(what)
    yield f"{what} ({len(names)}):" if names else f"{what}: none"
    text = ", ".join(map(printable, names))
    yield from wrap(
        text, 88, initial_indent=_INDENT, subsequent_indent=_INDENT,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip


def counted(numbers: Mapping[str, int]) -> str:
    """Return how many there are of what, the most first."""
    order = sorted(numbers, key=lambda name: (-numbers[name], name))
    return ", ".join(f"{numbers[name]} {name}" for name in order)
