"""Which part of the samples a machine takes."""

import re
from argparse import ArgumentTypeError

from qcore.adapters.cli.arguments import Container

WRITTEN = re.compile(r"([0-9]+)/([0-9]+)")


def add_shard(command: Container) -> None:
    """Add the choice of a part."""
    command.add_argument(
        "--shard",
        metavar="I/N",
        type=shard,
        help="take part I of N of the samples, 1/N to N/N; see qcore merge",
    )


def shard(text: str, /) -> tuple[int, int]:
    """Return the number of a part and how many there are."""
    found = WRITTEN.fullmatch(text)
    number, of = map(int, found.groups()) if found else (0, 0)
    if not 1 <= number <= of:
        raise ArgumentTypeError(f"must be I/N, from 1/N to N/N; got {text!r}")
    return number, of
