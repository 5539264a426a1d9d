"""`qcore merge`: statistics of many machines in, those of all samples out."""

from argparse import Namespace
from collections.abc import Iterable, Iterator
from pathlib import Path

import qcore
from qcore.adapters.cli.as_json import to_json
from qcore.adapters.cli.output import check_output
from qcore.adapters.cli.written import Written
from qcore.shards import named


def run(arguments: Namespace) -> Iterator[str]:
    """Write the statistics and yield of how many files they are."""
    output, files = arguments.output, arguments.files
    check_output(output, *files)
    given = files if arguments.quiet else _followed(files)
    statistics, shards = qcore.merge_files(given, partial=arguments.partial)
    qcore.save(output, statistics, shards=shards)
    written = Written.of_file(output, statistics, shards)
    if arguments.json:
        yield to_json(written)
    elif not arguments.quiet:
        yield str(written)
        if shards and shards.missing:
            yield f"Not in it yet: {named(shards.missing, shards.of)}."


def _followed(files: list[Path]) -> Iterable[Path]:
    from qcore.adapters.progress import terminal_bar  # noqa: PLC0415 - needs tqdm

    return terminal_bar(files, "merging", "file", len(files))
