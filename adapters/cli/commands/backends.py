"""`qcore backends`: what serves each kernel on each array library."""

from argparse import Namespace
from collections.abc import Iterator

from qcore.backends import report


def run(arguments: Namespace) -> Iterator[str]:
    """Yield the lines of the report, for which the installed libraries are loaded."""
    del arguments
    yield from str(report()).splitlines()
