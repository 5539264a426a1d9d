"""`qcore quantize`: a float model and data in, an int8 model out."""

from argparse import Namespace
from collections.abc import Iterator, Mapping
from typing import Any

import qcore
from qcore.adapters import onnx
from qcore.adapters.cli.arguments import method_options, selected
from qcore.adapters.cli.as_json import to_json
from qcore.adapters.cli.collect import Counted, collect
from qcore.adapters.cli.computed_in import computed_in
from qcore.adapters.cli.errors import BadInputError, UsageError
from qcore.adapters.cli.foretold import foretold
from qcore.adapters.cli.method import check_method
from qcore.adapters.cli.output import check_output, given_files
from qcore.adapters.cli.overrides import overridden
from qcore.adapters.cli.planned import foreseen, planned
from qcore.adapters.cli.samples import samples, told
from qcore.adapters.cli.sweeping import choose, find_judge, scores
from qcore.adapters.cli.units import size
from qcore.adapters.onnx.files.model_file import external_files
from qcore.adapters.onnx.formats import Formats
from qcore.adapters.onnx.recovery.checkpoint import find_folder, remove_checkpoint
from qcore.adapters.onnx.recovery.level import choose_level
from qcore.adapters.onnx.request import requested
from qcore.adapters.recovery_levels import Level
from qcore.statistics import Statistics


def run(arguments: Namespace) -> Iterator[str]:
    """Write the model and yield what became int8, and what did not and why."""
    _check_together(arguments)
    options, best = _options(arguments), method_options(arguments)
    asked = requested(**options, method=arguments.method, **best)
    level = _level(arguments, asked.formats)
    asked = asked.at(level)
    if asked.formats.needs_data:
        spec = asked.activations.spec
        check_method("--method", arguments.method, spec, best)
    if arguments.weight_method != "output":
        check_method("--weight-method", arguments.weight_method, qcore.QuantSpec(), {})
    if not arguments.plan:
        _check_files(arguments, level, needs_data=asked.formats.needs_data)

    statistics = qcore.load(arguments.statistics) if arguments.statistics else None
    plan, found = foreseen(arguments, asked, statistics)
    if arguments.plan and arguments.json:
        yield to_json(plan)
    elif arguments.plan:
        yield from foretold(found, asked.formats, arguments)
    else:
        yield from _write(arguments, plan, asked.formats, statistics, options)


def _options(arguments: Namespace) -> dict[str, Any]:
    """Return those of `quantize` that say which numbers are wanted where."""
    options = selected(arguments)
    del options["keep_existing"]
    return {
        "symmetric": arguments.symmetric or None,
        "weight": arguments.weight,
        "block": arguments.block,
        "weight_form": arguments.weight_form,
        "weight_method": arguments.weight_method,
        "overrides": overridden(arguments),
        **options,
    }


def _write(
    arguments: Namespace,
    plan: onnx.Plan,
    formats: Formats,
    statistics: Mapping[str, Statistics] | None,
    options: Mapping[str, Any],
) -> Iterator[str]:
    """Write the model and yield what was done, how well, and on what."""
    judge, has_data = find_judge(arguments), _has_data(arguments)
    counted = Counted(quiet=arguments.quiet)
    smooths = arguments.smooth is not False
    level = _level(arguments, formats)
    # Smoothing makes another model, which statistics of this one do not fit.
    if has_data and not smooths:
        statistics = collect(arguments, counted)
        if formats.needs_data and not statistics.keys() >= set(plan.sources):
            # Bodies that never ran stay float.
            plan = planned(arguments, statistics, level=level)
    common = {**options, "keep_existing": arguments.keep_existing}
    found = choose(judge, arguments, statistics or {}, common) if judge else None
    best = {"method": arguments.method, **method_options(arguments)}
    if found:
        best = dict(found.trials[0].options)
    if arguments.budget is not None:
        every = {**common, **best}
        common["overrides"] |= _with_many_bits(arguments, statistics or {}, every)
    quantized = onnx.quantize(
        arguments.model,
        samples(arguments) if has_data and smooths else statistics,
        smooth=arguments.smooth,
        recover=arguments.recover,
        data=samples(arguments) if level != "none" and not smooths else None,
        samples=arguments.samples,
        memory=arguments.memory << 20,
        checkpoint=arguments.checkpoint,
        progress=counted if arguments.quiet or smooths else None,
        **{**common, **best},
    )
    output = arguments.output
    onnx.save(quantized, output)
    if arguments.checkpoint is not None:
        remove_checkpoint(arguments.checkpoint)
    if arguments.json:
        written = {"output": str(output), "bytes": output.stat().st_size}
        yield to_json({**written, "samples": counted.used or None, "plan": plan})
        return
    if arguments.quiet:
        return
    if found:
        yield from scores(found)
        yield ""
    done = _done(plan, formats, arguments.activation)
    yield f"{output}: {done}; {size(output.stat().st_size)}."
    if has_data:
        yield told(arguments, counted.used)
    yield from map(str, plan.kept_float)


def _has_data(arguments: Namespace) -> bool:
    return bool(arguments.data or arguments.reader)


def _level(arguments: Namespace, formats: Formats) -> Level:
    """Return how much is done about the errors of rounding."""
    # A plan alone is one for data, unless it is for statistics.
    has_data = _has_data(arguments) or not (arguments.statistics or arguments.output)
    return choose_level(arguments.recover, formats, has_data=has_data)


def _check_together(arguments: Namespace) -> None:
    """Refuse arguments that do not go together, before minutes are spent."""
    if arguments.statistics and arguments.bins:
        raise BadInputError(
            "--bins must come with --data or --reader: statistics have theirs."
        )
    others = (arguments.evaluate, arguments.bins, arguments.budget)
    if arguments.smooth is not False and any(others):
        raise BadInputError(
            "--smooth must come without --evaluate, --bins or --budget."
        )
    if arguments.budget and not (_has_data(arguments) or arguments.plan):
        raise BadInputError("--budget must come with --data or --reader.")


def _with_many_bits(
    arguments: Namespace,
    statistics: Mapping[str, Statistics],
    options: Mapping[str, Any],
) -> dict[str, dict[str, str]]:
    """Return what the tensors get that a budget gives more bits."""
    own = {key: value for key, value in options.items() if value and key != "overrides"}
    data, budget = samples(arguments), arguments.budget
    return onnx.spend_bits(arguments.model, statistics, data, budget, **own)


def _done(plan: onnx.Plan, formats: Formats, activation: str | None) -> str:
    """Return how many operators are done, and in which numbers."""
    done, left = len(plan.compute), len(plan.kept_float)
    how = "rounded to" if formats.fake else "stored in"
    stored = f"weights of {len(plan.stores)} operators are {how} {formats.weight}"
    if formats.target.mode == "weights":
        return stored
    name = computed_in(formats, activation)
    computed = f"{done} of {done + left} Conv, Gemm and MatMul compute in {name}"
    return f"{computed}, {stored}" if plan.stores else computed


def _check_files(arguments: Namespace, level: Level, *, needs_data: bool) -> None:
    """Refuse a lack of samples or of a file to write, before minutes are spent."""
    if arguments.output is None:
        raise UsageError("qcore quantize", "--output is required, unless with --plan")
    given = arguments.data or arguments.reader or arguments.statistics
    if needs_data and not given:
        raise UsageError(
            "qcore quantize",
            "one of the arguments --data --reader --statistics is "
            "required, unless with --plan",
        )
    find_folder(arguments.checkpoint, level)
    files = given_files(arguments), external_files(arguments.model)
    check_output(arguments.output, arguments.model, *files[0], *files[1])
