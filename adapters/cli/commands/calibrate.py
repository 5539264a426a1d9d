"""`qcore calibrate`: a float model and data in, statistics of its activations out."""

from argparse import Namespace
from collections.abc import Iterator

import qcore
from qcore.adapters import onnx
from qcore.adapters.cli.arguments import selected
from qcore.adapters.cli.collect import collect
from qcore.adapters.cli.errors import CannotDoError
from qcore.adapters.cli.output import check_output
from qcore.adapters.cli.units import size


def run(arguments: Namespace) -> Iterator[str]:
    """Write the statistics and yield how many there are."""
    output = arguments.output
    check_output(output, arguments.model, arguments.data)
    plan = onnx.plan(arguments.model, **selected(arguments))
    if not plan.compute:
        first = f": {plan.kept_float[0]}" if plan.kept_float else "."
        raise CannotDoError(f"{str(arguments.model)!r} has nothing to quantize{first}")
    statistics = collect(arguments)
    qcore.save(output, statistics)
    if not arguments.quiet:
        yield f"{output}: {len(statistics)} tensors; {size(output.stat().st_size)}."
