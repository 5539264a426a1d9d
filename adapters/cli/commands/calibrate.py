"""`qcore calibrate`: a float model and data in, statistics of its activations out."""

from argparse import Namespace
from collections.abc import Iterator

import qcore
from qcore.adapters.cli.collect import Counted, collect
from qcore.adapters.cli.output import check_output, given_files
from qcore.adapters.cli.planned import planned
from qcore.adapters.cli.samples import told
from qcore.adapters.cli.units import size
from qcore.adapters.onnx.model_file import external_files


def run(arguments: Namespace) -> Iterator[str]:
    """Write the statistics and yield how many there are."""
    model, output = arguments.model, arguments.output
    check_output(output, model, *given_files(arguments), *external_files(model))
    planned(arguments)
    counted = Counted(quiet=arguments.quiet)
    statistics = collect(arguments, counted)
    qcore.save(output, statistics)
    if not arguments.quiet:
        number = len(statistics)
        yield f"{output}: {number} tensors; {size(output.stat().st_size)}."
        yield told(arguments, counted.used)
