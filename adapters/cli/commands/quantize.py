"""`qcore quantize`: a float model and data in, an int8 model out."""

from argparse import Namespace
from collections.abc import Iterator

import qcore
from qcore.adapters import onnx
from qcore.adapters.cli.arguments import method_options, selected
from qcore.adapters.cli.collect import collect
from qcore.adapters.cli.errors import BadInputError
from qcore.adapters.cli.method import check_method
from qcore.adapters.cli.output import check_output, given_files
from qcore.adapters.cli.planned import planned
from qcore.adapters.cli.units import size
from qcore.adapters.onnx.model_file import external_files
from qcore.adapters.onnx.targets import find_target


def run(arguments: Namespace) -> Iterator[str]:
    """Write the model and yield what became int8, and what did not and why."""
    model, output = arguments.model, arguments.output
    if arguments.statistics and arguments.bins:
        raise BadInputError(
            "--bins must come with --data or --reader: statistics have theirs."
        )
    spec = find_target(arguments.target).activation_spec(
        arguments.activation, arguments.symmetric or None
    )
    options = method_options(arguments)
    check_method("--method", arguments.method, spec, options)
    if arguments.weights != "output":
        check_method("--weights", arguments.weights, qcore.QuantSpec(), {})
    check_output(output, model, *given_files(arguments), *external_files(model))

    statistics = qcore.load(arguments.statistics) if arguments.statistics else None
    plan = planned(arguments, statistics)
    quantized = onnx.quantize(
        model,
        collect(arguments) if statistics is None else statistics,
        method=arguments.method,
        activation=spec,
        weight_method=arguments.weights,
        **selected(arguments),
        **options,
    )
    onnx.save(quantized, output)
    if not arguments.quiet:
        done, left = len(plan.compute), len(plan.kept_float)
        yield (
            f"{output}: {done} of {done + left} Conv, Gemm and MatMul compute in int8; "
            f"{size(output.stat().st_size)}."
        )
        yield from map(str, plan.kept_float)
