"""`qcore methods`: the names that --method takes."""

import inspect
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import dataclass

import qcore
from qcore.adapters.cli.as_json import to_json
from qcore.methods.registry import Method, find_method


@dataclass(frozen=True)
class Listed:
    """A method.

    Attributes
    ----------
    name : str
        What --method takes.
    reads : tuple of str
        Statistics that it can use.
    options : tuple of str
        What --option takes.
    summary : str
        What it does.
    """

    name: str
    reads: tuple[str, ...]
    options: tuple[str, ...]
    summary: str

    def __str__(self) -> str:
        options = f"; options: {', '.join(self.options)}" if self.options else ""
        reads = " or ".join(self.reads)
        return f"{self.name}: reads {reads}{options}\n    {self.summary}"


def run(arguments: Namespace) -> Iterator[str]:
    """Yield two lines for each method."""
    found = [_listed(find_method(name)) for name in qcore.methods()]
    if arguments.json:
        yield to_json(found)
    else:
        yield from map(str, found)


def _listed(method: Method) -> Listed:
    reads = tuple(kind.__name__ for kind in method.needs)
    return Listed(method.name, reads, tuple(method.options), _summary(method))


def _summary(method: Method) -> str:
    """Return the first line of its documentation."""
    first = (inspect.getdoc(method.function) or "").partition("\n")[0]
    return first.replace("``", "")
