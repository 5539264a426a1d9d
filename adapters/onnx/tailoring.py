"""How each tensor of a plan is quantized, once it is known what was asked of which."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

import onnx_ir as ir

from qcore.adapters.onnx.graph.operands import activations as inputs_in_codes
from qcore.adapters.onnx.graph.operands import weight
from qcore.adapters.onnx.graph.stored_operands import stored_operands
from qcore.adapters.onnx.graph.tensors import tensors_by_name
from qcore.adapters.onnx.overrides import Override, Overrides, override_of
from qcore.adapters.onnx.planning.plan import Plan
from qcore.adapters.onnx.planning.selection import matches_any
from qcore.adapters.onnx.recipe import Recipe
from qcore.adapters.onnx.targets import Target
from qcore.adapters.onnx.weights import WeightSpec, WeightSpecs
from qcore.errors import QuantError, nearest


class Tailored(NamedTuple):
    """How the tensors of a plan are quantized.

    Attributes
    ----------
    activations : mapping
        By the tensors that give a group of them its range.
    weights : WeightSpecs
        By name.
    """

    activations: Mapping[tuple[str, ...], Recipe]
    weights: WeightSpecs


def tailor(
    graph: ir.Graph,
    plan: Plan,
    target: Target,
    overrides: Overrides,
    *,
    activations: Recipe,
    weights: WeightSpec,
) -> Tailored:
    """
    Return how each tensor of a plan is quantized.

    Parameters
    ----------
    graph : Graph
        The prepared graph that the plan is for.
    plan : Plan
        Which tensors.
    target : Target
        What the runtime takes.
    overrides : mapping
        What was asked of some tensors.
    activations, weights
        How the others are quantized.

    Raises
    ------
    QuantError
        If a pattern fits no tensor that is quantized, tensors that share a scale are to
        differ, or the target or a method does not take what is asked of a tensor.
    """
    constants = dict(_weights(graph, plan))
    _check_patterns(overrides, [*plan.tensors, *constants], tensors_by_name(graph))
    recipes = {}
    for group, (name, found) in _by_group(plan, overrides).items():
        with _blaming(name):
            recipes[group] = (
                activations if found is None else found.activation(activations, target)
            )
            recipes[group].check()
    own = {}
    for name, x in constants.items():
        found = override_of(name, overrides)
        if found is not None:
            recipe = recipes.get(plan.tensors.get(x, ()), activations)
            with _blaming(name):
                own[name] = found.weight(weights, target, recipe.spec)
                own[name].check()
    return Tailored(recipes, WeightSpecs(weights, own))


def _weights(graph: ir.Graph, plan: Plan) -> Iterator[tuple[str, str]]:
    """Yield the name of each weight with that of what it is multiplied by."""
    for node in graph.all_nodes():
        if node.name in plan.compute and (value := weight(node)) is not None:
            yield str(value.name), str(inputs_in_codes(node)[0].name)
        elif node.name in plan.stores:
            for operand in stored_operands(node):
                yield str(operand.value(node).name), ""


def _check_patterns(
    overrides: Overrides, quantized: Collection[str], known: Iterable[str]
) -> None:
    for pattern in overrides:
        if not any(matches_any(name, [pattern]) for name in quantized):
            floats = [name for name in known if matches_any(name, [pattern])]
            hint = (
                f"{floats[0]!r} stays float." if floats else nearest(pattern, quantized)
            )
            raise QuantError(
                "`overrides` must name tensors to be quantized; "
                f"got {pattern!r}: {hint}"
            )


def _by_group(
    plan: Plan, overrides: Overrides
) -> dict[tuple[str, ...], tuple[str, Override | None]]:
    """Return what was asked of each group of tensors, and of which of them."""
    asked: dict[tuple[str, ...], tuple[str, Override | None]] = {}
    for name, group in plan.tensors.items():
        found = override_of(name, overrides)
        first, before = asked.setdefault(group, (name, found))
        if before is None:
            asked[group] = (name, found)
        elif found not in (None, before):
            raise QuantError(
                f"`overrides` of {first!r} and {name!r} must agree: they share a scale."
            )
    return asked


@contextmanager
def _blaming(name: str) -> Iterator[None]:
    """Name the tensor of which something was asked that cannot be."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise QuantError(f"`overrides` of {name!r}: {error}") from error
