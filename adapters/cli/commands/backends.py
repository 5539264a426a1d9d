"""`qcore backends`: what serves each kernel on each array library."""

from argparse import Namespace
from collections.abc import Iterator

from qcore.adapters.cli.as_json import to_json
from qcore.backends import report


def run(arguments: Namespace) -> Iterator[str]:
    """Yield the lines of the report, for which the installed libraries are loaded."""
    found = report()
    if arguments.json:
        yield to_json(found)
    else:
        yield from str(found).splitlines()
