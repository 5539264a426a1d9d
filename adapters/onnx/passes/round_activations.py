"""Round what products read to the numbers that codes would stand for."""

from collections.abc import Mapping

import onnx_ir as ir

from qcore import QParams, QuantSpec
from qcore.adapters.onnx.graph.bodies import graph_of
from qcore.adapters.onnx.graph.float_operators import FloatOperators
from qcore.adapters.onnx.graph.names import Names
from qcore.adapters.onnx.graph.operands import activations, integer_attribute
from qcore.adapters.onnx.graph.rounding_operators import (
    fake_quantized,
    fake_quantized_in_blocks,
)
from qcore.adapters.onnx.planning.plan import Plan
from qcore.granularity import PerBlock


def round_activations(
    model: ir.Model, plan: Plan, qparams: Mapping[str, QParams], spec: QuantSpec
) -> ir.Model:
    """Return the model with rounding in standard operators before its products.

    Parameters
    ----------
    model : Model
        In the opset that it is to have.
    plan : Plan
        Which products.
    qparams : mapping
        Of the activations; none where they are rounded in blocks.
    spec : QuantSpec
        Of the activations. Blocks are cut where products are summed.

    Raises
    ------
    QuantError
        If a tensor to be cut into blocks has no known rank or length.
    """
    names = Names(model.graph)
    in_blocks = isinstance(spec.granularity, PerBlock)
    done: dict[tuple[ir.Value, int | None, ir.Graph], ir.Value] = {}
    for node in [n for n in model.graph.all_nodes() if n.name in plan.compute]:
        graph = graph_of(node)
        for x in activations(node):
            axis = _summed(node, node.inputs.index(x)) if in_blocks else None
            if (x, axis, graph) not in done:
                opset = model.opset_imports[""]
                op = FloatOperators(graph, names, node, f"{x.name}_rounded", opset)
                done[x, axis, graph] = (
                    fake_quantized(op, x, qparams[str(x.name)])
                    if axis is None
                    else fake_quantized_in_blocks(op, x, spec, axis)
                )
            for index in [i for i, value in enumerate(node.inputs) if value is x]:
                node.replace_input_with(index, done[x, axis, graph])
    return model


def _summed(node: ir.Node, index: int) -> int:
    """Return the axis of an operand that a product is summed along."""
    if node.op_type in {"Conv", "ConvTranspose"}:
        return 1
    if node.op_type == "Gemm":
        turned = integer_attribute(node, "transB" if index else "transA", 0)
        return int(bool(turned) if index else not turned)
    return -2 if index else -1
