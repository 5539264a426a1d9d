"""The scales of activations, from the statistics of the tensors that share them."""

from collections.abc import Iterable, Mapping
from functools import reduce

import onnx_ir as ir

from qcore import Histogram, QParams, mean_ratio
from qcore.adapters.onnx.graph.operands import activations
from qcore.adapters.onnx.graph.tensors import scale_dtype, tensors_by_name
from qcore.adapters.onnx.planning.plan import Plan
from qcore.adapters.onnx.planning.sharing import moves
from qcore.adapters.onnx.recipe import Recipe
from qcore.errors import QuantError
from qcore.statistics import Statistics


def find_statistics(
    value: ir.Value, statistics: Mapping[str, Statistics]
) -> Statistics | None:
    """Return the statistics of a tensor, or of those its values were moved from.

    So that what was collected for one choice of nodes serves any other.
    """
    found = statistics.get(str(value.name))
    if found is not None:
        return found
    producer = value.producer()
    if producer is None or not moves(producer):
        return None
    parts = [find_statistics(source, statistics) for source in activations(producer)]
    known = [part for part in parts if part is not None]
    return _merged(known) if len(known) == len(parts) else None


def activation_qparams(
    graph: ir.Graph,
    plan: Plan,
    statistics: Mapping[str, Statistics],
    recipes: Mapping[tuple[str, ...], Recipe],
) -> dict[str, QParams]:
    """Return the scale and zero point of each tensor that the plan quantizes.

    Parameters
    ----------
    graph : Graph
        The prepared graph that the plan is for.
    plan : Plan
        Which tensors, and which of them share a scale.
    statistics : mapping
        What was collected, by tensor.
    recipes : mapping
        How, by the tensors that give the range of a group.

    Raises
    ------
    QuantError
        If a method refuses the statistics; it names the tensor.
    """
    values = tensors_by_name(graph)
    decided: dict[tuple[str, ...], QParams] = {}
    for sources in plan.tensors.values():
        if sources not in decided:
            parts = [find_statistics(values[name], statistics) for name in sources]
            try:
                seen = _merged([part for part in parts if part])
                decided[sources] = recipes[sources].decide(
                    seen, scale_dtype(values[sources[0]])
                )
            except QuantError as error:
                raise type(error)(
                    f"while calibrating {sources[0]!r}: {error}"
                ) from error
    return {name: decided[sources] for name, sources in plan.tensors.items()}


def activation_mean_ratios(
    graph: ir.Graph, names: Iterable[str], statistics: Mapping[str, Statistics]
) -> dict[str, float]:
    """Return squared mean over variance of tensors.

    Statistics that have no histogram leave it at 0.
    """
    values = tensors_by_name(graph)
    seen = {name: find_statistics(values[name], statistics) for name in names}
    return {
        name: float(mean_ratio(state)[0]) if isinstance(state, Histogram) else 0.0
        for name, state in seen.items()
    }


def _merged(parts: list[Statistics]) -> Statistics:
    return reduce(lambda a, b: a.merge(b), parts)
