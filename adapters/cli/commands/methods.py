"""`qcore methods`: the names that --method takes."""

import inspect
from argparse import Namespace
from collections.abc import Iterator

import qcore
from qcore.methods.registry import Method, find_method


def run(arguments: Namespace) -> Iterator[str]:
    """Yield two lines for each method."""
    del arguments
    for method in map(find_method, qcore.methods()):
        reads = " or ".join(kind.__name__ for kind in method.needs)
        options = f"; options: {', '.join(method.options)}" if method.options else ""
        yield f"{method.name}: reads {reads}{options}"
        yield f"    {_summary(method)}"


def _summary(method: Method) -> str:
    """Return the first line of its documentation."""
    first = (inspect.getdoc(method.function) or "").partition("\n")[0]
    return first.replace("``", "")
