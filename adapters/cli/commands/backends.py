"""`qcore backends`: the array libraries with kernels of their own."""

from argparse import Namespace
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, entry_points, version
from importlib.util import find_spec

from qcore.adapters.cli.table import table


def run(arguments: Namespace) -> Iterator[str]:
    """Yield a table of them, none of which is imported."""
    del arguments
    backends = sorted(entry_points(group="qcore.backends"), key=lambda b: b.name)
    rows = [(b.name, _installed(b.name.partition(".")[0]), b.value) for b in backends]
    return table(("library", "installed", "kernels"), rows, text=3)


def _installed(library: str) -> str:
    if find_spec(library) is None:
        return "no"
    try:
        return version(library)
    except PackageNotFoundError:  # cupy's distributions have other names
        return "yes"
