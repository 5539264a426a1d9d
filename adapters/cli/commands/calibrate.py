"""`qcore calibrate`: a float model and data in, statistics of its activations out."""

from argparse import Namespace
from collections.abc import Iterator

import qcore
from qcore.adapters.cli.as_json import to_json
from qcore.adapters.cli.collect import Counted, collect, collect_shard
from qcore.adapters.cli.output import check_output, given_files
from qcore.adapters.cli.planned import planned
from qcore.adapters.cli.samples import told
from qcore.adapters.cli.written import Written
from qcore.adapters.onnx.files.model_file import external_files
from qcore.adapters.onnx.sharding.checkpoint import remove_calibration


def run(arguments: Namespace) -> Iterator[str]:
    """Write the statistics and yield how many there are."""
    model, output = arguments.model, arguments.output
    check_output(output, model, *given_files(arguments), *external_files(model))
    planned(arguments)
    counted = Counted(quiet=arguments.quiet)
    if arguments.shard:
        statistics, shards = collect_shard(arguments, counted)
    else:
        statistics, shards = collect(arguments, counted, arguments.checkpoint), None
    qcore.save(output, statistics, shards=shards)
    if arguments.checkpoint is not None:
        remove_calibration(arguments.checkpoint)
    written = Written.of_file(output, statistics, shards)
    if arguments.json:
        yield to_json(written)
    elif not arguments.quiet:
        yield str(written)
        if shards is None:
            yield told(arguments, counted.used)
        else:
            yield f"Samples in {shards}: {counted.used}."
