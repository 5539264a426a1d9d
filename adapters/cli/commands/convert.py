"""`qcore convert`: scales from the record of one toolkit into that of another."""

from argparse import Namespace
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path

from qcore import QParams
from qcore.adapters import records
from qcore.adapters.cli.as_json import to_json
from qcore.adapters.cli.errors import BadInputError
from qcore.adapters.cli.units import size
from qcore.adapters.given_path import path_to_write
from qcore.adapters.records.formats import find, meant, told


def run(arguments: Namespace) -> Iterator[str]:
    """Write the record and yield what is in it."""
    source, target = arguments.source, arguments.target
    _check(source, target)
    to = meant(target) if arguments.target_kind is None else find(arguments.target_kind)
    of = told(source) if arguments.source_kind is None else find(arguments.source_kind)
    tensors = _picked(records.read(source, format=of.name), arguments.tensors, source)
    records.write(target, tensors, format=to.name)
    length = target.stat().st_size
    if arguments.json:
        yield to_json(
            {
                "source": str(source),
                "from": of.name,
                "target": str(target),
                "to": to.name,
                "tensors": list(tensors),
                "bytes": length,
            }
        )
    elif not arguments.quiet:
        yield f"{target}: {len(tensors)} tensors, a {to.title}; {size(length)}."


def _check(source: Path, target: Path) -> None:
    """Refuse a file that cannot be written, or would replace the one that is read."""
    path_to_write(target, "TARGET")
    if source.exists() and target.exists() and source.samefile(target):
        raise BadInputError(f"TARGET would replace its own source {str(source)!r}.")


def _picked(
    tensors: Mapping[str, QParams], patterns: list[str] | None, source: Path
) -> dict[str, QParams]:
    """Return those whose names match a pattern, all if none is given."""
    if not patterns:
        return dict(tensors)
    for pattern in patterns:
        if not any(_matches(name, pattern) for name in tensors):
            raise BadInputError(
                f"--tensors {pattern!r} must match a tensor of {str(source)!r}."
            )
    return {
        name: one
        for name, one in tensors.items()
        if any(_matches(name, pattern) for pattern in patterns)
    }


def _matches(name: str, pattern: str) -> bool:
    return name == pattern or fnmatchcase(name, pattern)
