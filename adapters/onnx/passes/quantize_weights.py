"""Store weights in 8 bits and biases in 32, each behind a DequantizeLinear."""

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from qcore import NonFiniteError, QParams
from qcore.adapters.onnx.constants import add_constant, array_of
from qcore.adapters.onnx.names import Names
from qcore.adapters.onnx.nodes import Grid, dequantize_linear
from qcore.adapters.onnx.operands import (
    activations,
    bias,
    bias_values,
    channel_axis,
    weight,
)
from qcore.adapters.onnx.plan import Plan
from qcore.adapters.onnx.weights import Stored, WeightSpec, store_bias


def quantize_weights(
    model: ir.Model,
    plan: Plan,
    qparams: Mapping[str, QParams],
    mean_ratios: Mapping[str, float],
    spec: WeightSpec,
) -> ir.Model:
    """Return the model with the weights of the plan's computing nodes in codes.

    Parameters
    ----------
    model : Model
        Before its activations are quantized.
    plan : Plan
        Which nodes.
    qparams : mapping
        Of the activations; their scales are part of those of the biases.
    mean_ratios : mapping
        Of the activations; see `qcore.mean_ratio`.
    spec : WeightSpec
        How.

    Raises
    ------
    NonFiniteError
        If a weight or bias holds NaN or infinity.
    """
    reader = _Reader(model.graph)
    for node in list(model.graph):
        kernel = weight(node) if node.name in plan.compute else None
        if kernel is not None:
            x = str(activations(node)[0].name)
            x_scale = qparams[x].scale
            axis, addend, values = channel_axis(node), bias(node), bias_values(node)
            # The product of two scales has no room in 16 bits.
            if kernel.dtype == ir.DataType.FLOAT16 or not spec.bias_codes:
                values = None
            stored = spec.store(_finite(kernel), axis, x_scale, values, mean_ratios[x])
            index = node.inputs.index(kernel)
            node.replace_input_with(index, reader.read(node, kernel, stored, axis))
            if addend is not None and values is not None:
                _finite(addend)
                stored = store_bias(values, x_scale * stored.scale)
                node.replace_input_with(2, reader.read(node, addend, stored, 0))
    return model


class _Reader:
    """Reads constants back from codes; one that several nodes use, just once."""

    def __init__(self, graph: ir.Graph) -> None:
        self.graph, self.names = graph, Names(graph)
        self.done: dict[tuple[ir.Value, bytes], ir.Value] = {}

    def read(
        self, node: ir.Node, value: ir.Value, stored: Stored, axis: int | None
    ) -> ir.Value:
        """Return what a node is to use in place of a constant."""
        key = (value, stored.scale.tobytes())
        if key not in self.done:
            grid = Grid(
                self._add(value, "scale", stored.scale),
                None
                if stored.zero_point is None
                else self._add(value, "zero_point", stored.zero_point),
                axis if stored.scale.ndim else None,
            )
            codes = self._add(value, "quantized", stored.codes)
            dequantize = dequantize_linear(self.names, str(value.name), codes, grid)
            self.graph.insert_before(node, dequantize)
            self.done[key] = dequantize.outputs[0]
        return self.done[key]

    def _add(self, value: ir.Value, what: str, array: np.ndarray) -> ir.Value:
        return add_constant(self.graph, self.names, f"{value.name}_{what}", array)


def _finite(constant: ir.Value) -> np.ndarray:
    array = array_of(constant)
    if not np.isfinite(array).all():
        raise NonFiniteError(f"{constant.name!r} must be finite; it holds NaN or inf.")
    return array
