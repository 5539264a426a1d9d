"""Take what scales and shifts the channels of a product in as its weight and bias.

BatchNormalization or the Add of a constant, after Conv, Gemm or the MatMul of matrices
(which becomes a Gemm). onnxruntime merges these by itself, but as floats: an operator
between the product and QuantizeLinear keeps the product from computing in integers,
and a Gemm has an integer kernel only if its bias is int32.
"""

from typing import NamedTuple

import numpy as np
import onnx_ir as ir

from qcore.adapters.onnx.constants import (
    add_constant,
    array_of,
    extents_of,
    is_constant,
)
from qcore.adapters.onnx.names import Names
from qcore.adapters.onnx.operands import (
    COMPUTE,
    activations,
    bias,
    bias_values,
    channel_axis,
    float_attribute,
    has_unit_factors,
    integer_attribute,
    is_standard,
    per_channel,
    weight,
    written_as,
)


class Product(NamedTuple):
    """A node that multiplies by a constant weight, which can be changed."""

    node: ir.Node
    weight: ir.Value
    axis: int


class Affine(NamedTuple):
    """Scale and shift of each channel."""

    scale: np.ndarray
    shift: np.ndarray


def absorb_affine(model: ir.Model) -> ir.Model:
    """Return the model with affine maps of channels merged into weights and biases."""
    names = Names(model.graph)
    for node in list(model.graph):
        product = _product_before(node)
        affine = None if product is None else _affine(node, product)
        if product is not None and affine is not None:
            merged = _merged(model.graph, names, product, affine)
            replaced, result = [node, product.node], node.outputs[:1]
            ir.convenience.replace_nodes_and_values(
                model.graph, node, replaced, [merged], result, merged.outputs
            )
    return model


def _product_before(node: ir.Node) -> Product | None:
    """Return the product whose result this node alone uses, if it can take a bias."""
    if not is_standard(node, "Add", "BatchNormalization"):
        return None
    for value in node.inputs:
        producer = None if value is None else value.producer()
        if producer is not None and is_standard(producer, *COMPUTE):
            kernel, axis = weight(producer), channel_axis(producer)
            alone = len(producer.outputs[0].uses()) == 1
            alone &= not producer.outputs[0].is_graph_output()
            if (
                alone
                and kernel is not None
                and axis is not None
                and _can_bias(producer)
            ):
                return Product(producer, kernel, axis)
    return None


def _can_bias(node: ir.Node) -> bool:
    if node.op_type == "MatMul":
        (x,) = activations(node)
        # Gemm, which it would become, is of matrices, and has no kernel for integers.
        return (
            x.dtype == ir.DataType.FLOAT and x.shape is not None and len(x.shape) == 2
        )
    return has_unit_factors(node) and (
        bias(node) is None or bias_values(node) is not None
    )


def _affine(node: ir.Node, product: Product) -> Affine | None:
    constants = [array_of(value) for value in node.inputs if is_constant(value)]
    if node.op_type == "BatchNormalization":
        return _normalization(node, constants)
    if not constants:
        return None
    extents = extents_of(product.weight)
    shift = per_channel(constants[0], extents[product.axis], len(extents) - 2)
    return None if shift is None else Affine(np.ones_like(shift), shift)


def _normalization(node: ir.Node, parameters: list[np.ndarray]) -> Affine | None:
    if len(parameters) < 4 or integer_attribute(node, "training_mode", 0):
        return None
    gamma, beta, mean, variance = parameters
    # In the type of the model: a float32 would turn the weights of a float16 one too.
    epsilon = variance.dtype.type(float_attribute(node, "epsilon", 1e-5))
    scale = gamma / np.sqrt(variance + epsilon)
    return Affine(scale, beta - mean * scale)


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
    merged = ir.node(
        "Gemm" if node.op_type == "MatMul" else node.op_type,
        [node.inputs[0], kernel, add_constant(graph, names, f"{name}_bias", shift)],
        attributes=node.attributes,
        name=node.name,
    )
    merged.meta["written_as"] = written_as(node)
    return merged
