"""Standard operators on floats, written one after the other in front of a node."""

from typing import Any, TypeAlias

import numpy as np
import onnx_ir as ir

from qcore.adapters.onnx.graph.constants import add_constant
from qcore.adapters.onnx.graph.names import Names

Operand: TypeAlias = ir.Value | np.ndarray | float | list[int]
"""A value of the graph, or a constant: float32 if a number, int64 if a list."""

AXES_AS_INPUT = 18
"""The opset in which ReduceMax takes its axes as an input."""


class FloatOperators:
    """
    A place in a graph where operators are added.

    Parameters
    ----------
    graph : Graph
        What to add to.
    names : Names
        All that are in use.
    before : Node
        What is added comes right before this one.
    about : str
        What is new is named after this.
    opset : int
        Of the model.
    """

    def __init__(
        self, graph: ir.Graph, names: Names, before: ir.Node, about: str, opset: int
    ) -> None:
        self.graph, self.names, self.before = graph, names, before
        self.about, self.opset = about, opset

    def __call__(self, op_type: str, *operands: Operand, **attributes: Any) -> ir.Value:
        """Return the result of a new node."""
        name = self.names.fresh(f"{self.about}_{op_type}")
        inputs = [self._value(operand) for operand in operands]
        node = ir.node(op_type, inputs, attributes, name=name)
        node.outputs[0].name = self.names.fresh(name.lower())
        self.graph.insert_before(self.before, node)
        return node.outputs[0]

    def largest(self, x: ir.Value, axes: list[int] | None = None) -> ir.Value:
        """Return the largest along axes, which are kept, or of all, 0-d."""
        if axes is None:
            return self("ReduceMax", x, keepdims=0)
        if self.opset >= AXES_AS_INPUT:
            return self("ReduceMax", x, axes, keepdims=1)
        return self("ReduceMax", x, axes=axes, keepdims=1)

    def _value(self, operand: Operand) -> ir.Value:
        if isinstance(operand, ir.Value):
            return operand
        dtype = np.int64 if isinstance(operand, list) else np.float32
        array = np.asarray(operand, dtype)
        return add_constant(self.graph, self.names, f"{self.about}_constant", array)
