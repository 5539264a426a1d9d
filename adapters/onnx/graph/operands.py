"""What the inputs of an operator mean: activations, weight, bias."""

import numpy as np
import onnx_ir as ir

from qcore.adapters.onnx.graph.constants import array_of, extents_of, is_constant

COMPUTE = ("Conv", "Gemm", "MatMul")
"""The operators that multiply activations by weights: where 8 bits pay."""

PRODUCTS = (*COMPUTE, "ConvTranspose")
"""These and what other runtimes have an integer kernel for."""

MATRICES = ("Gemm", "MatMul")
"""Products whose operands can change places."""


def is_standard(node: ir.Node, *op_types: str) -> bool:
    """Return whether a node is one of these operators of ONNX itself."""
    return node.op_type in op_types and node.domain in {"", "ai.onnx"}


def activations(node: ir.Node) -> tuple[ir.Value, ...]:
    """Return the inputs that hold activations, of which codes can take the place."""
    inputs = node.inputs[:1]
    if is_standard(node, *PRODUCTS):
        kernel = weight(node)
        inputs = [value for value in node.inputs[:2] if value is not kernel]
    elif node.op_type in {"Add", "Concat", "Mul"}:
        inputs = node.inputs
    return tuple(value for value in inputs if value is not None)


def weight_index(node: ir.Node) -> int | None:
    """Return which operand of a product is a constant: the second one, or the first."""
    if is_constant(node.inputs[1]):
        return 1
    return 0 if node.op_type in MATRICES and is_constant(node.inputs[0]) else None


def weight(node: ir.Node) -> ir.Value | None:
    """Return the operand of a product that is a constant, if there is one."""
    index = weight_index(node)
    return None if index is None else node.inputs[index]


def bias(node: ir.Node) -> ir.Value | None:
    """Return the third operand of a product, if there is one."""
    return node.inputs[2] if len(node.inputs) > 2 else None


def channel_axis(node: ir.Node) -> int | None:
    """Return the axis of a product's weight that is that of the output channels."""
    if weight_index(node) == 0:  # Its rows are no channels.
        return None
    if node.op_type == "Conv":
        return 0
    if node.op_type == "ConvTranspose":
        return 1
    if node.op_type == "Gemm":
        return 0 if integer_attribute(node, "transB", 0) else 1
    # In a stack of matrices no single axis holds the channels.
    matrices = weight(node)
    return 1 if matrices is not None and len(extents_of(matrices)) == 2 else None


def bias_values(node: ir.Node) -> np.ndarray | None:
    """Return the bias as one constant for each output channel, if it is that."""
    value = bias(node)
    if not is_constant(value):
        return None
    kernel, axis = weight(node), channel_axis(node)
    if kernel is not None and axis is not None:
        return per_channel(array_of(value), extents_of(kernel)[axis])
    # Nothing tells the channels but the bias itself.
    extents = extents_of(value)
    return per_channel(array_of(value), extents[-1]) if extents else None


def per_channel(
    array: np.ndarray, channels: int, spatial: int = 0
) -> np.ndarray | None:
    """Return what an array adds to each channel of ``[N, channels, ...]``.

    It is ``None`` if the array differs along another axis, such as one of the `spatial`
    ones that follow.
    """
    try:
        spread = np.broadcast_to(array, (1, channels, *[1] * spatial))
    except ValueError:
        return None
    return spread.reshape(channels)


def can_be_biased(node: ir.Node) -> bool:
    """Return whether something can be added to each channel of a product's result."""
    if node.op_type != "MatMul":
        return True
    # Gemm, which it would become, is of matrices, and has no kernel for integers.
    x = node.inputs[0]
    assert x is not None
    return x.dtype == ir.DataType.FLOAT and x.shape is not None and len(x.shape) == 2


def has_unit_factors(node: ir.Node) -> bool:
    """Return whether neither product nor bias is multiplied, as a Gemm can do."""
    return all(float_attribute(node, name, 1.0) == 1.0 for name in ("alpha", "beta"))


def own_pads(conv: ir.Node) -> list[int] | None:
    """Return what a Conv pads, none if nothing; ``None`` if that is up to the shape."""
    auto = conv.attributes.get("auto_pad")
    if auto is not None and auto.as_string() not in {"NOTSET", "VALID"}:
        return None
    pads = conv.attributes.get("pads")
    return [] if pads is None else list(pads.as_ints())


def has_holes(node: ir.Node) -> bool:
    """Return whether this is a pool with dilations, for which there is no kernel."""
    return is_standard(node, "AveragePool") and "dilations" in node.attributes


def integer_attribute(node: ir.Node, name: str, default: int) -> int:
    """Return an attribute, or the default that the standard gives it."""
    return node.attributes[name].as_int() if name in node.attributes else default


def float_attribute(node: ir.Node, name: str, default: float) -> float:
    """Return an attribute, or the default that the standard gives it."""
    return node.attributes[name].as_float() if name in node.attributes else default


def written_as(node: ir.Node) -> str:
    """Return the operator that stands for a node in the model as it was given."""
    return str(node.meta.get("written_as", node.op_type))
