"""`qcore quantize`: a float model and data in, an int8 model out."""

from argparse import Namespace
from collections.abc import Iterator

import qcore
from qcore.adapters import onnx
from qcore.adapters.cli.arguments import method_options, overridden, selected
from qcore.adapters.cli.collect import collect
from qcore.adapters.cli.errors import BadInputError, UsageError
from qcore.adapters.cli.foretold import foretold
from qcore.adapters.cli.method import check_method
from qcore.adapters.cli.output import check_output, given_files
from qcore.adapters.cli.planned import planned
from qcore.adapters.cli.units import size
from qcore.adapters.onnx.model_file import external_files
from qcore.adapters.onnx.recipe import Recipe
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
    if not arguments.plan:
        _check_files(arguments)

    statistics = qcore.load(arguments.statistics) if arguments.statistics else None
    plan = planned(arguments, statistics)
    if arguments.plan:
        yield from foretold(arguments, plan, Recipe(spec, arguments.method, options))
        return
    collected = collect(arguments) if statistics is None else None
    quantized = onnx.quantize(
        model,
        collected.statistics if collected else statistics,
        method=arguments.method,
        activation=spec,
        weight_method=arguments.weights,
        overrides=overridden(arguments),
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
        if collected:
            yield collected.told
        yield from map(str, plan.kept_float)


def _check_files(arguments: Namespace) -> None:
    """Refuse a lack of samples or of a file to write, before minutes are spent."""
    if arguments.output is None:
        raise UsageError("qcore quantize", "--output is required, unless with --plan")
    if not (arguments.data or arguments.reader or arguments.statistics):
        raise UsageError(
            "qcore quantize",
            "one of the arguments --data --reader --statistics is "
            "required, unless with --plan",
        )
    files = given_files(arguments), external_files(arguments.model)
    check_output(arguments.output, arguments.model, *files[0], *files[1])
