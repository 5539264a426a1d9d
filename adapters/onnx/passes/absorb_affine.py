"""Take what scales and shifts the channels of a product in as its weight and bias.

BatchNormalization, or a constant that is added, subtracted, multiplied or divided by,
after Conv, ConvTranspose, Gemm or MatMul (of matrices it becomes a Gemm where there is
something to add). onnxruntime merges these by itself, but as floats: an operator
between the product and QuantizeLinear keeps the product from computing in integers,
and a Gemm has an integer kernel only if its bias is int32.
"""

from typing import NamedTuple

import numpy as np
import onnx_ir as ir

from qcore.adapters.onnx.graph.affine import Affine, affine_of, scaled_value
from qcore.adapters.onnx.graph.constants import add_constant, array_of, extents_of
from qcore.adapters.onnx.graph.names import Names
from qcore.adapters.onnx.graph.operands import (
    PRODUCTS,
    bias,
    bias_values,
    can_be_biased,
    channel_axis,
    has_unit_factors,
    integer_attribute,
    is_standard,
    weight,
    written_as,
)


class Product(NamedTuple):
    """A node that multiplies by a constant weight, which can be changed."""

    node: ir.Node
    weight: ir.Value
    axis: int


def absorb_affine(model: ir.Model) -> ir.Model:
    """Return the model with affine maps of channels merged into weights and biases."""
    names = Names(model.graph)
    for graph in model.graphs():
        for node in list(graph):
            product = _product_before(node)
            affine = None if product is None else _affine(node, product)
            if product is not None and affine is not None:
                merged = _merged(graph, names, product, affine)
                replaced, result = [node, product.node], node.outputs[:1]
                ir.convenience.replace_nodes_and_values(
                    graph, node, replaced, [merged], result, merged.outputs
                )
    return model


def _product_before(node: ir.Node) -> Product | None:
    """Return the product whose result this node alone uses, if it can change."""
    value = scaled_value(node)
    producer = None if value is None else value.producer()
    if producer is None or not is_standard(producer, *PRODUCTS):
        return None
    kernel, axis, result = weight(producer), channel_axis(producer), producer.outputs[0]
    alone = len(result.uses()) == 1 and not result.is_graph_output()
    # Its groups have weights for a part of the channels each.
    grouped = (
        producer.op_type == "ConvTranspose"
        and integer_attribute(producer, "group", 1) != 1
    )
    if (
        producer.graph is not node.graph
        or not alone
        or grouped
        or not has_unit_factors(producer)
        or kernel is None
        or axis is None
    ):
        return None
    return Product(producer, kernel, axis)


def _affine(node: ir.Node, product: Product) -> Affine | None:
    extents = extents_of(product.weight)
    spatial = 0 if product.node.op_type in {"Gemm", "MatMul"} else len(extents) - 2
    affine = affine_of(node, extents[product.axis], spatial)
    if affine is None or (affine.shift.any() and not can_be_biased(product.node)):
        return None
    # What is there to be scaled must be known.
    known = bias(product.node) is None or bias_values(product.node) is not None
    return affine if known else None


def _merged(graph: ir.Graph, names: Names, product: Product, affine: Affine) -> ir.Node:
    """Return the product with the affine map in its weight and bias."""
    node, kernel, axis = product
    name = kernel.name
    shift = affine.shift
    if (affine.scale != 1).any():
        array = array_of(kernel)
        others = [other for other in range(array.ndim) if other != axis]
        scaled = array * np.expand_dims(affine.scale, others)
        kernel = add_constant(graph, names, f"{name}_scaled", scaled)
    old = bias_values(node)
    if old is not None:
        shift = shift + old * affine.scale
    inputs, op_type = [node.inputs[0], kernel], node.op_type
    if old is not None or shift.any():
        inputs.append(add_constant(graph, names, f"{name}_bias", shift))
        op_type = "Gemm" if op_type == "MatMul" else op_type
    merged = ir.node(op_type, inputs, attributes=node.attributes, name=node.name)
    merged.meta["written_as"] = written_as(node)
    return merged
