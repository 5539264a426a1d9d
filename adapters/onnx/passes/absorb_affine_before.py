"""Take what scales and shifts the channels that a product reads in as its weight.

Where the product has no padding, this is exact, and integers can be read as they come:
a normalization of the input, or a BatchNormalization between other operators and a
product. With padding only a scale can move: what is padded is 0 after a shift.
"""

import numpy as np
import onnx_ir as ir

from qcore.adapters.onnx.graph.affine import Affine, affine_of, scaled_value
from qcore.adapters.onnx.graph.constants import add_constant, array_of, extents_of
from qcore.adapters.onnx.graph.names import Names
from qcore.adapters.onnx.graph.operands import (
    COMPUTE,
    bias,
    bias_values,
    can_be_biased,
    has_unit_factors,
    integer_attribute,
    is_standard,
    own_pads,
    weight,
    weight_index,
    written_as,
)


def absorb_affine_before(model: ir.Model) -> ir.Model:
    """Return the model with affine maps of channels merged into the products behind."""
    names = Names(model.graph)
    for graph in model.graphs():
        for node in reversed(list(graph)):
            before = _affine_before(node)
            affine = None if before is None else _affine(node, before)
            if before is not None and affine is not None:
                source = scaled_value(before)
                assert source is not None
                merged = _merged(graph, names, node, affine, source)
                ir.convenience.replace_nodes_and_values(
                    graph, node, [node, before], [merged], node.outputs, merged.outputs
                )
    return model


def _affine_before(node: ir.Node) -> ir.Node | None:
    """Return the map of what a product reads, if nothing else reads the result."""
    if not is_standard(node, *COMPUTE) or weight_index(node) != 1:
        return None
    value = node.inputs[0]
    before = None if value is None else value.producer()
    if value is None or before is None or scaled_value(before) is None:
        return None
    alone = len(value.uses()) == 1 and not value.is_graph_output()
    changes = before.graph is node.graph and has_unit_factors(node)
    changes &= bias(node) is None or bias_values(node) is not None
    return before if alone and changes else None


def _affine(node: ir.Node, before: ir.Node) -> Affine | None:
    kernel = weight(node)
    assert kernel is not None
    extents = extents_of(kernel)
    if node.op_type == "Conv":
        channels = extents[1] * integer_attribute(node, "group", 1)
        affine = affine_of(before, channels, len(extents) - 2)
        pads = own_pads(node)
        is_padded = pads is None or any(pads)
        moves = affine is not None and not (affine.shift.any() and is_padded)
        return affine if moves else None
    if len(extents) != 2 or integer_attribute(node, "transA", 0):
        return None
    matrix = node.op_type == "Gemm" or can_be_biased(node)
    if is_standard(before, "BatchNormalization") and not matrix:
        return None  # its channels are another axis than that of the rows
    affine = affine_of(before, extents[integer_attribute(node, "transB", 0)], 0)
    return affine if affine is None or matrix or not affine.shift.any() else None


def _merged(
    graph: ir.Graph, names: Names, node: ir.Node, affine: Affine, source: ir.Value
) -> ir.Node:
    """Return the product with the affine map of what it reads in weight and bias."""
    kernel = weight(node)
    assert kernel is not None
    array, old = array_of(kernel), bias_values(node)
    if node.op_type == "Conv":
        outputs, inputs, *spatial = array.shape
        groups = integer_attribute(node, "group", 1)

        def fit(values: np.ndarray) -> np.ndarray:
            each = np.repeat(values.reshape(groups, inputs), outputs // groups, axis=0)
            return each.reshape(outputs, inputs, *[1] * len(spatial))

        axes = tuple(range(1, array.ndim))
    else:
        axis = integer_attribute(node, "transB", 0)

        def fit(values: np.ndarray) -> np.ndarray:
            return np.expand_dims(values, 1 - axis)

        axes = (axis,)
    shift = (array * fit(affine.shift)).sum(axes, dtype=np.float64).astype(array.dtype)
    scaled = array * fit(affine.scale)
    operands = [source, add_constant(graph, names, f"{kernel.name}_scaled", scaled)]
    op_type = node.op_type
    if old is not None or shift.any():
        shift = shift if old is None else shift + old
        operands.append(add_constant(graph, names, f"{kernel.name}_bias", shift))
        op_type = "Gemm" if op_type == "MatMul" else op_type
    merged = ir.node(op_type, operands, attributes=node.attributes, name=node.name)
    merged.meta["written_as"] = written_as(node)
    return merged
