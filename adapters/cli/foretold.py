"""What `qcore quantize` would do, as lines of text."""

from argparse import Namespace
from collections.abc import Iterator

from qcore.adapters import onnx
from qcore.adapters.cli.arguments import selected
from qcore.adapters.cli.listed import listed
from qcore.adapters.cli.overrides import overridden
from qcore.adapters.cli.table import table
from qcore.adapters.onnx.overrides import parse_overrides
from qcore.adapters.onnx.prepare import prepare
from qcore.adapters.onnx.recipe import Recipe
from qcore.adapters.onnx.tailoring import tailor
from qcore.adapters.onnx.targets import Target
from qcore.adapters.onnx.weights import WeightSpec

HEADER = ("activation", "codes", "zero point", "range by", "shares the scale of")


def foretold(
    arguments: Namespace,
    plan: onnx.Plan,
    target: Target,
    activations: Recipe,
    weights: WeightSpec,
) -> Iterator[str]:
    """Yield what computes on codes, how each activation gets its own, what is float."""
    options = selected(arguments)
    graph = prepare(
        arguments.model, keep_existing=options.get("keep_existing", False)
    ).graph
    overrides = parse_overrides(overridden(arguments))
    found = tailor(
        graph, plan, target, overrides, activations=activations, weights=weights
    )
    yield from listed("would compute in int8", plan.compute)
    yield from listed("would pass codes on", plan.carriers)
    if plan.stores:
        yield from listed("would compute on floats, weights in codes", plan.stores)
    yield ""
    rows = [
        _row(name, group, found.activations[group])
        for name, group in plan.tensors.items()
    ]
    yield from table(HEADER, rows, text=len(HEADER))
    yield f"Weights are stored in {weights.codes}, ranges by {weights.method}."
    for name, own in found.weights.own.items():
        yield f"{name!r} is stored in {own.codes}, range by {own.method}."
    yield ""
    yield from map(str, plan.kept_float)
    yield "All other operators stay float. Nothing was written."


def _row(name: str, group: tuple[str, ...], recipe: Recipe) -> tuple[str, ...]:
    options = (f"{key}={value}" for key, value in recipe.options.items())
    return (
        name,
        recipe.spec.format.name,
        "0" if recipe.spec.symmetric else "any",
        " ".join((recipe.method, *options)),
        "" if group == (name,) else ", ".join(group),
    )
