"""Constants read back from codes."""

from typing import TypeAlias

import numpy as np
import onnx_ir as ir

from qcore import NonFiniteError
from qcore.adapters.onnx.graph.bodies import graph_of
from qcore.adapters.onnx.graph.constants import add_constant, array_of
from qcore.adapters.onnx.graph.names import Names
from qcore.adapters.onnx.graph.nodes import Grid, dequantize_linear
from qcore.adapters.onnx.stored import Stored

_Key: TypeAlias = tuple[ir.Value, int | None, bytes, ir.Graph]
"""A constant, the axis of its scales, these, and where they lie."""


class ConstantReader:
    """Reads constants back from codes; one that nodes of a graph share, just once.

    A runtime merges a node with the DequantizeLinear before it if both lie in the same
    graph. The codes lie where the constant was; or, if `beside`, where they are read: a
    product of floats by codes from outside of its body is none that onnxruntime 1.31
    loads ("Missing required weight").
    """

    def __init__(self, graph: ir.Graph, *, beside: bool = False) -> None:
        self.names, self.beside = Names(graph), beside
        self.held: dict[_Key, tuple[ir.Value, Grid]] = {}
        self.done: dict[tuple[_Key, ir.Graph], ir.Value] = {}

    def read(self, node: ir.Node, value: ir.Value, stored: Stored) -> ir.Value:
        """Return what a node is to use in place of a constant."""
        graph = graph_of(node)
        home = graph if self.beside else graph_of(value)
        key = (value, stored.axis, stored.scale.tobytes(), home)
        if key not in self.held:

            def add(what: str, array: np.ndarray) -> ir.Value:
                return self.add(value, what, array, home)

            zero = stored.zero_point
            scale = add("scale", stored.scale)
            zero_point = None if zero is None else add("zero_point", zero)
            grid = Grid(scale, zero_point, stored.axis, stored.block)
            self.held[key] = add("quantized", stored.codes), grid
        if (key, graph) not in self.done:
            codes, grid = self.held[key]
            dequantize = dequantize_linear(self.names, str(value.name), codes, grid)
            graph.insert_before(node, dequantize)
            self.done[key, graph] = dequantize.outputs[0]
        return self.done[key, graph]

    def add(
        self, value: ir.Value, what: str, array: np.ndarray, home: ir.Graph
    ) -> ir.Value:
        """Return a new constant, named after another one and what it is of that."""
        return add_constant(home, self.names, f"{value.name}_{what}", array)


def finite(constant: ir.Value) -> np.ndarray:
    """Return the array of a constant; raise NonFiniteError if it holds NaN or inf."""
    array = array_of(constant)
    if not np.isfinite(array).all():
        raise NonFiniteError(f"{constant.name!r} must be finite; it holds NaN or inf.")
    return array
