"""Nodes that take the place of one, in a row."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from qcore.adapters.onnx.graph.constants import add_constant
from qcore.adapters.onnx.graph.names import Names


class Replacement:
    """What is to stand for a node; `finish` puts it there.

    Parameters
    ----------
    graph : Graph
        That of the node.
    names : Names
        All that are in use.
    node : Node
        Which; what is new is named after it.
    """

    def __init__(self, graph: ir.Graph, names: Names, node: ir.Node) -> None:
        self.graph, self.names, self.node = graph, names, node
        self.nodes: list[ir.Node] = []

    def add(
        self,
        op_type: str,
        inputs: Sequence[ir.Value],
        attributes: Mapping[str, Any] | None = None,
    ) -> ir.Value:
        """Return the result of a new node."""
        name = self.names.fresh(self._named(op_type))
        node = ir.node(op_type, inputs, attributes, name=name)
        self.nodes.append(node)
        node.outputs[0].name, node.outputs[0].type = name, inputs[0].type
        return node.outputs[0]

    def constant(self, name: str, array: np.ndarray) -> ir.Value:
        """Return a new constant."""
        return add_constant(self.graph, self.names, self._named(name), array)

    def numbers(self, name: str, numbers: Sequence[int]) -> ir.Value:
        """Return a new constant of extents or axes."""
        return self.constant(name, np.asarray(numbers, np.int64))

    def finish(self, result: ir.Value, main: ir.Node, written_as: str) -> None:
        """Replace the node; `main` takes its name."""
        main.name = self.node.name
        main.meta["written_as"] = written_as
        result.shape = self.node.outputs[0].shape
        ir.convenience.replace_nodes_and_values(
            self.graph, self.node, [self.node], self.nodes, self.node.outputs, [result]
        )

    def _named(self, what: str) -> str:
        return f"{self.node.name or self.node.op_type}_{what}"
