"""What QuantizeLinear and DequantizeLinear nodes of a model say of their codes."""

import onnx_ir as ir

from qcore.adapters.onnx.graph.operands import integer_attribute, is_standard
from qcore.adapters.onnx_formats import format_of
from qcore.formats import IntFormat


def zero_point_of(node: ir.Node) -> ir.Value | None:
    """Return the zero point that a node was given, if it was."""
    return node.inputs[2] if len(node.inputs) > 2 else None


def type_given(quantize: ir.Node) -> ir.DataType | None:
    """Return the type of the codes that a QuantizeLinear gives, if that is known."""
    zero_point = zero_point_of(quantize)
    if zero_point is not None:
        return zero_point.dtype
    asked = integer_attribute(quantize, "output_dtype", 0)
    return ir.DataType(asked) if asked else ir.DataType.UINT8


def integers_given(node: ir.Node) -> IntFormat | None:
    """Return the integers that a node quantizes to, if it does and to integers."""
    if not is_standard(node, "QuantizeLinear"):
        return None
    dtype = type_given(node)
    fmt = None if dtype is None else format_of(int(dtype))
    return fmt if isinstance(fmt, IntFormat) else None
