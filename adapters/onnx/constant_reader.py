"""Constants read back from codes."""

from typing import TypeAlias

import numpy as np
import onnx_ir as ir

from qcore import NonFiniteError
from qcore.adapters.onnx.bodies import graph_of
from qcore.adapters.onnx.constants import add_constant, array_of
from qcore.adapters.onnx.names import Names
from qcore.adapters.onnx.nodes import Grid, dequantize_linear
from qcore.adapters.onnx.weights import Stored

_Key: TypeAlias = tuple[ir.Value, int | None, bytes]
"""A constant, the axis of its scales and these."""


class ConstantReader:
    """Reads constants back from codes; one that nodes of a graph share, just once.

    A runtime merges a node with the DequantizeLinear before it if both lie in the same
    graph. The codes lie where the constant was.
    """

    def __init__(self, graph: ir.Graph) -> None:
        self.names = Names(graph)
        self.held: dict[_Key, tuple[ir.Value, Grid]] = {}
        self.done: dict[tuple[_Key, ir.Graph], ir.Value] = {}

    def read(self, node: ir.Node, value: ir.Value, stored: Stored) -> ir.Value:
        """Return what a node is to use in place of a constant."""
        key, graph = (value, stored.axis, stored.scale.tobytes()), graph_of(node)
        if key not in self.held:
            grid = Grid(
                self.add(value, "scale", stored.scale),
                None
                if stored.zero_point is None
                else self.add(value, "zero_point", stored.zero_point),
                stored.axis,
                stored.block,
            )
            self.held[key] = self.add(value, "quantized", stored.codes), grid
        if (key, graph) not in self.done:
            codes, grid = self.held[key]
            dequantize = dequantize_linear(self.names, str(value.name), codes, grid)
            graph.insert_before(node, dequantize)
            self.done[key, graph] = dequantize.outputs[0]
        return self.done[key, graph]

    def add(self, value: ir.Value, what: str, array: np.ndarray) -> ir.Value:
        """Return a new constant, named after another one and what it is of that."""
        return add_constant(graph_of(value), self.names, f"{value.name}_{what}", array)


def finite(constant: ir.Value) -> np.ndarray:
    """Return the array of a constant; raise NonFiniteError if it holds NaN or inf."""
    array = array_of(constant)
    if not np.isfinite(array).all():
        raise NonFiniteError(f"{constant.name!r} must be finite; it holds NaN or inf.")
    return array
