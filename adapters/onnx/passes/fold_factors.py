"""Multiply the factors of a Gemm into its constants, for kernels that know none."""

import onnx_ir as ir

from qcore.adapters.onnx.graph.constants import add_constant, array_of, is_constant
from qcore.adapters.onnx.graph.names import Names
from qcore.adapters.onnx.graph.operands import (
    float_attribute,
    is_standard,
    weight_index,
)


def fold_factors(model: ir.Model) -> ir.Model:
    """Return the model with alpha and beta of each Gemm in its weight and bias."""
    names = Names(model.graph)
    for graph in model.graphs():
        for node in graph:
            if is_standard(node, "Gemm"):
                _fold(graph, names, node, "alpha", weight_index(node))
                has_bias = len(node.inputs) > 2 and node.inputs[2] is not None
                _fold(graph, names, node, "beta", 2 if has_bias else None)
    return model


def _fold(
    graph: ir.Graph, names: Names, node: ir.Node, factor: str, index: int | None
) -> None:
    by = float_attribute(node, factor, 1.0)
    if index is None:
        if factor == "beta":  # there is nothing for it to multiply
            node.attributes.pop(factor, None)
        return
    constant = node.inputs[index]
    if is_constant(constant) and by != 1:
        array = array_of(constant)
        scaled = array * array.dtype.type(by)
        value = add_constant(graph, names, f"{constant.name}_scaled", scaled)
        node.replace_input_with(index, value)
        del node.attributes[factor]
