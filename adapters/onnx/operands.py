"""What the inputs of an operator mean: activations, weight, bias."""

import numpy as np
import onnx_ir as ir

from qcore.adapters.onnx.constants import array_of, extents_of, is_constant

COMPUTE = ("Conv", "Gemm", "MatMul")
"""The operators that multiply activations by weights: where 8 bits pay."""


def is_standard(node: ir.Node, *op_types: str) -> bool:
    """Return whether a node is one of these operators of ONNX itself."""
    return node.op_type in op_types and node.domain in {"", "ai.onnx"}


def activations(node: ir.Node) -> tuple[ir.Value, ...]:
    """Return the inputs that hold activations, of which codes can take the place."""
    inputs = node.inputs[:1]
    if node.op_type in {"Add", "Concat", "Mul"} or (
        node.op_type == "MatMul" and weight(node) is None
    ):
        inputs = node.inputs
    return tuple(value for value in inputs if value is not None)


def weight(node: ir.Node) -> ir.Value | None:
    """Return the second operand of a product, if it is a constant."""
    return node.inputs[1] if is_constant(node.inputs[1]) else None


def bias(node: ir.Node) -> ir.Value | None:
    """Return the third operand of a product, if there is one."""
    return node.inputs[2] if len(node.inputs) > 2 else None


def channel_axis(node: ir.Node) -> int | None:
    """Return the axis of a product's weight that is that of the output channels."""
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
    kernel, axis, value = weight(node), channel_axis(node), bias(node)
    if kernel is None or axis is None or not is_constant(value):
        return None
    return per_channel(array_of(value), extents_of(kernel)[axis])


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


def has_unit_factors(node: ir.Node) -> bool:
    """Return whether neither product nor bias is multiplied, as a Gemm can do."""
    return all(float_attribute(node, name, 1.0) == 1.0 for name in ("alpha", "beta"))


def integer_attribute(node: ir.Node, name: str, default: int) -> int:
    """Return an attribute, or the default that the standard gives it."""
    return node.attributes[name].as_int() if name in node.attributes else default


def float_attribute(node: ir.Node, name: str, default: float) -> float:
    """Return an attribute, or the default that the standard gives it."""
    return node.attributes[name].as_float() if name in node.attributes else default


def written_as(node: ir.Node) -> str:
    """Return the operator that stands for a node in the model as it was given."""
    return str(node.meta.get("written_as", node.op_type))
