"""How each tensor of a plan is quantized, once it is known what was asked of which."""

from collections.abc import Collection, Iterable

import onnx_ir as ir

from qcore.adapters.onnx.overrides import Override, Overrides, override_of
from qcore.adapters.onnx.plan import Plan
from qcore.adapters.onnx.recipe import Recipe
from qcore.adapters.onnx.selection import matches_any
from qcore.adapters.onnx.targets import Target
from qcore.adapters.onnx.tensors import tensors_by_name
from qcore.errors import QuantError, nearest


def tailor(
    graph: ir.Graph,
    plan: Plan,
    target: Target,
    overrides: Overrides,
    default: Recipe,
) -> dict[tuple[str, ...], Recipe]:
    """
    Return how each tensor of a plan is quantized, by those that give it its range.

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
    default : Recipe
        How the others are quantized.

    Raises
    ------
    QuantError
        If a pattern fits no tensor that is quantized, tensors that share a scale are to
        differ, or the target or a method does not take what is asked of a tensor.
    """
    _check_patterns(overrides, plan.tensors, tensors_by_name(graph))
    return {
        group: default if found is None else _recipe(name, found, default, target)
        for group, (name, found) in _by_group(plan, overrides).items()
    }


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


def _recipe(name: str, found: Override, default: Recipe, target: Target) -> Recipe:
    try:
        changed = found.activation(default, target)
        changed.check()
    except (TypeError, ValueError) as error:
        raise QuantError(f"`overrides` of {name!r}: {error}") from error
    return changed
