"""What `qcore quantize` would do, as lines of text."""

from argparse import Namespace
from collections.abc import Iterator

from qcore.adapters.cli.computed_in import computed_in
from qcore.adapters.cli.listed import listed
from qcore.adapters.cli.table import table
from qcore.adapters.onnx.foresight import Foreseen
from qcore.adapters.onnx.formats import Formats
from qcore.adapters.onnx.recipe import Recipe

HEADER = ("activation", "codes", "zero point", "range by", "shares the scale of")


def foretold(
    foreseen: Foreseen, formats: Formats, arguments: Namespace
) -> Iterator[str]:
    """Yield what computes on codes, how each activation gets its own, what is float."""
    plan, found = foreseen
    weights = found.weights.default
    numbers = computed_in(formats, arguments.activation)
    yield from listed(f"would compute in {numbers}", plan.compute)
    yield from listed("would pass codes on", plan.carriers)
    if plan.stores:
        yield from listed("would compute on floats, weights in codes", plan.stores)
    yield ""
    rows = [
        _row(name, group, found.activations[group], is_seen=formats.needs_data)
        for name, group in plan.tensors.items()
    ]
    yield from table(HEADER, rows, text=len(HEADER))
    codes = weights.codes + (f" by blocks of {weights.block}" if weights.block else "")
    yield f"Weights are stored in {codes}, ranges by {weights.method}."
    for name, own in found.weights.own.items():
        yield f"{name!r} is stored in {own.codes}, range by {own.method}."
    yield ""
    yield from map(str, plan.kept_float)
    if arguments.budget is not None:
        yield "With data, --budget gives those of them 16 bits that cost most."
    if arguments.evaluate:
        yield "With data, --evaluate chooses how ranges are chosen."
    yield "All other operators stay float. Nothing was written."


def _row(
    name: str, group: tuple[str, ...], recipe: Recipe, *, is_seen: bool
) -> tuple[str, ...]:
    """Return a line; what is not seen before has ranges found as the model runs."""
    options = (f"{key}={value}" for key, value in recipe.options.items())
    return (
        name,
        recipe.spec.format.name,
        "0" if recipe.spec.symmetric else "any",
        " ".join((recipe.method, *options)) if is_seen else "as the model runs",
        "" if group == (name,) else ", ".join(group),
    )
