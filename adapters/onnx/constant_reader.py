"""Constants read back from codes."""

import numpy as np
import onnx_ir as ir

from qcore import NonFiniteError
from qcore.adapters.onnx.constants import add_constant, array_of
from qcore.adapters.onnx.names import Names
from qcore.adapters.onnx.nodes import Grid, dequantize_linear
from qcore.adapters.onnx.weights import Stored


class ConstantReader:
    """Reads constants back from codes; one that several nodes use, just once."""

    def __init__(self, graph: ir.Graph) -> None:
        self.graph, self.names = graph, Names(graph)
        self.done: dict[tuple[ir.Value, int | None, bytes], ir.Value] = {}

    def read(self, node: ir.Node, value: ir.Value, stored: Stored) -> ir.Value:
        """Return what a node is to use in place of a constant."""
        key = (value, stored.axis, stored.scale.tobytes())
        if key not in self.done:
            grid = Grid(
                self.add(value, "scale", stored.scale),
                None
                if stored.zero_point is None
                else self.add(value, "zero_point", stored.zero_point),
                stored.axis,
                stored.block,
            )
            codes = self.add(value, "quantized", stored.codes)
            dequantize = dequantize_linear(self.names, str(value.name), codes, grid)
            self.graph.insert_before(node, dequantize)
            self.done[key] = dequantize.outputs[0]
        return self.done[key]

    def add(self, value: ir.Value, what: str, array: np.ndarray) -> ir.Value:
        """Return a new constant, named after another one and what it is of that."""
        return add_constant(self.graph, self.names, f"{value.name}_{what}", array)


def finite(constant: ir.Value) -> np.ndarray:
    """Return the array of a constant; raise NonFiniteError if it holds NaN or inf."""
    array = array_of(constant)
    if not np.isfinite(array).all():
        raise NonFiniteError(f"{constant.name!r} must be finite; it holds NaN or inf.")
    return array
