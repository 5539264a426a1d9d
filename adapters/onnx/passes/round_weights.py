"""Round weights to the numbers that their codes would stand for."""

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from qcore.adapters.onnx.constant_reader import finite
from qcore.adapters.onnx.graph.bodies import graph_of
from qcore.adapters.onnx.graph.constants import add_constant
from qcore.adapters.onnx.graph.names import Names
from qcore.adapters.onnx.graph.stored_operands import multiplied, stored_operands
from qcore.adapters.onnx.planning.plan import Plan
from qcore.adapters.onnx.weights import WeightSpecs


def round_weights(
    model: ir.Model, plan: Plan, mean_ratios: Mapping[str, float], specs: WeightSpecs
) -> ir.Model:
    """Return the model with rounded floats for the weights of the plan's nodes.

    Parameters
    ----------
    model : Model
        Any.
    plan : Plan
        Which nodes.
    mean_ratios : mapping
        Of the activations, as far as they are known; see `qcore.mean_ratio`.
    specs : WeightSpecs
        How weights are quantized.

    Raises
    ------
    NonFiniteError
        If a weight holds NaN or infinity.
    """
    names = Names(model.graph)
    done: dict[tuple[ir.Value, bytes], ir.Value] = {}
    for node in model.graph.all_nodes():
        if node.name not in {*plan.compute, *plan.stores}:
            continue
        x = multiplied(node)
        ratio = 0.0 if x is None else mean_ratios.get(str(x.name), 0.0)
        for operand in stored_operands(node):
            value = operand.value(node)
            rounded = specs.of(value).round(
                finite(value),
                operand.axis,
                mean_ratio=ratio,
                block_axis=operand.summed,
            )
            key = value, np.ascontiguousarray(rounded).tobytes()
            if key not in done:
                name = f"{value.name}_rounded"
                done[key] = add_constant(graph_of(value), names, name, rounded)
            node.replace_input_with(operand.index, done[key])
    return model
