"""Which nodes stay float for the sake of a tensor that does."""

from collections.abc import Collection
from dataclasses import dataclass

import onnx_ir as ir

from qcore.adapters.onnx.graph.operands import activations
from qcore.adapters.onnx.planning.placement import in_codes
from qcore.adapters.onnx.planning.plan import Plan
from qcore.adapters.onnx.planning.selection import Selection


@dataclass(frozen=True)
class SelectionWithout(Selection):
    """What was asked for, but for some nodes.

    Attributes
    ----------
    floats : frozenset of str
        Their very names: as a pattern, one could name an operator.
    """

    floats: frozenset[str] = frozenset()

    def excludes(self, node: ir.Node) -> bool:
        """Return whether a node is to stay float."""
        return str(node.name) in self.floats or super().excludes(node)


def without(selection: Selection, nodes: Collection[str], /) -> SelectionWithout:
    """Return a selection but for some nodes, besides those it lacks already."""
    before: frozenset[str] = getattr(selection, "floats", frozenset())
    return SelectionWithout(
        selection.op_types, selection.include, selection.exclude, before.union(nodes)
    )


def users_in_codes(graph: ir.Graph, plan: Plan, tensors: Collection[str]) -> list[str]:
    """Return the nodes that cannot be on codes if these tensors are floats."""
    placed = {*plan.compute, *plan.carriers}
    return [
        str(node.name)
        for node in graph.all_nodes()
        if node.name in placed
        and any(
            str(value.name) in tensors
            for value in (
                *activations(node),
                *(in_codes(node) if node.name in plan.compute else ()),
            )
        )
    ]
