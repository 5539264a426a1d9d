"""`qcore convert`: scales from the record of one toolkit into that of another."""

from argparse import Namespace
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path

from qcore import QParams, QuantSpec
from qcore.adapters import records
from qcore.adapters.cli.as_json import to_json
from qcore.adapters.cli.conversion import read_options, write_options
from qcore.adapters.cli.errors import BadInputError
from qcore.adapters.cli.units import size
from qcore.adapters.codes import activation_spec
from qcore.adapters.given_path import path_to_write
from qcore.adapters.records import compressed_tensors
from qcore.adapters.records.kinds import Kind, find, meant, told
from qcore.adapters.records.tensors import NotInt8Error


def run(arguments: Namespace) -> Iterator[str]:
    """Write the record and yield what is in it."""
    source, target = arguments.source, arguments.target
    _check(source, target)
    to, of = _kinds(arguments)
    found = records.read(
        source, kind=of.name, spec=_spec(arguments), **read_options(arguments)
    )
    tensors = _picked(found, arguments.tensors, source)
    try:
        records.write(target, tensors, kind=to.name, **write_options(arguments))
    except NotInt8Error as error:
        raise BadInputError(f"{error} --symmetric makes int8 of its range.") from error
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
        number = "1 tensor" if len(tensors) == 1 else f"{len(tensors)} tensors"
        yield f"{target}: {number}, a {to.title}; {size(length)}."


def _check(source: Path, target: Path) -> None:
    """Refuse a file that cannot be written, or would replace the one that is read."""
    path_to_write(target, "TARGET")
    if target.exists() and not target.is_file():  # a device would become a file
        raise BadInputError(f"TARGET must be a file; {str(target)!r} is none.")
    written = target, compressed_tensors.side_file(target)
    if any(source.exists() and p.exists() and source.samefile(p) for p in written):
        raise BadInputError(f"TARGET would replace its own source {str(source)!r}.")


def _kinds(arguments: Namespace) -> tuple[Kind, Kind]:
    """Return the kinds of target and source, for which all options are made."""
    to, of = arguments.target_kind, arguments.source_kind
    to = meant(arguments.target) if to is None else find(to)
    of = told(arguments.source) if of is None else find(of)
    if read_options(arguments) and of.name != "statistics":
        raise BadInputError(
            f"--method and its options are for statistics; {str(arguments.source)!r} "
            f"is a {of.title}."
        )
    if write_options(arguments) and to.name != "tensorrt":
        raise BadInputError(
            f"--header is for a cache of TensorRT; TARGET shall be a {to.title}."
        )
    return to, of


def _spec(arguments: Namespace) -> QuantSpec | None:
    """Return which codes shall reach the ranges, None for those that are there."""
    if arguments.activation is None and not arguments.symmetric:
        return None
    return activation_spec(arguments.activation, arguments.symmetric)


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
