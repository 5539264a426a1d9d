"""Store the weights of operators that compute on floats in codes."""

from collections.abc import Mapping

import onnx_ir as ir

from qcore.adapters.onnx.constant_reader import ConstantReader, finite
from qcore.adapters.onnx.graph.stored_operands import multiplied, stored_operands
from qcore.adapters.onnx.passes.look_up_codes import can_look_up, look_up_codes
from qcore.adapters.onnx.planning.plan import Plan
from qcore.adapters.onnx.weights import WeightSpecs


def store_weights(
    model: ir.Model,
    plan: Plan,
    mean_ratios: Mapping[str, float],
    specs: WeightSpecs,
    *,
    looks_up_codes: bool,
) -> ir.Model:
    """Return the model with the weights in codes that the plan only stores so.

    Parameters
    ----------
    model : Model
        Any.
    plan : Plan
        Which nodes.
    mean_ratios : mapping
        Of the activations, as far as they are known; see `qcore.mean_ratio`.
    specs : WeightSpecs
        How.
    looks_up_codes : bool
        Whether tables are dequantized after the lookup.

    Raises
    ------
    NonFiniteError
        If a weight holds NaN or infinity.
    """
    reader = ConstantReader(model.graph, beside=True)
    for node in [n for n in model.graph.all_nodes() if n.name in plan.stores]:
        x = multiplied(node)
        ratio = 0.0 if x is None else mean_ratios.get(str(x.name), 0.0)
        for operand in stored_operands(node):
            value = operand.value(node)
            stored = specs.of(value).store(
                finite(value),
                operand.axis,
                mean_ratio=ratio,
                block_axis=operand.summed,
            )
            if node.op_type == "Gather" and looks_up_codes and can_look_up(stored):
                look_up_codes(node, stored, reader)
            else:
                real = reader.read(node, value, stored)
                node.replace_input_with(operand.index, real)
    return model
