"""`qcore calibrate`: a float model and data in, statistics of its activations out."""

from argparse import Namespace
from collections.abc import Iterator

import qcore
from qcore.adapters.cli.collect import collect
from qcore.adapters.cli.output import check_output, given_files
from qcore.adapters.cli.planned import planned
from qcore.adapters.cli.units import size
from qcore.adapters.onnx.model_file import external_files


def run(arguments: Namespace) -> Iterator[str]:
    """Write the statistics and yield how many there are."""
    model, output = arguments.model, arguments.output
    check_output(output, model, *given_files(arguments), *external_files(model))
    planned(arguments)
    collected = collect(arguments)
    qcore.save(output, collected.statistics)
    if not arguments.quiet:
        number = len(collected.statistics)
        yield f"{output}: {number} tensors; {size(output.stat().st_size)}."
        yield collected.told
