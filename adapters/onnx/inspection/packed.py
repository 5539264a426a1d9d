"""Weights of onnxruntime's MatMulNBits, several in each byte."""

from math import prod

import numpy as np
import onnx_ir as ir

from qcore import unpack
from qcore.adapters.onnx.graph.constants import array_of, is_constant
from qcore.adapters.onnx.graph.operands import integer_attribute


def is_packed(node: ir.Node) -> bool:
    """Return whether a node has such weights."""
    return node.op_type == "MatMulNBits"


def packed_type(node: ir.Node) -> str:
    """Return the type of the codes."""
    return f"uint{_bits(node)}"


def packed_size(node: ir.Node) -> int:
    """Return how many weights there are."""
    return prod(integer_attribute(node, name, 0) for name in "NK")


def packed_zero_points(
    node: ir.Node, zero_point: ir.Value | None
) -> tuple[float, float] | None:
    """Return the least and the greatest, if known; without any, they are the middle."""
    bits = _bits(node)
    if zero_point is None:
        middle = float(1 << (bits - 1))
        return middle, middle
    if not is_constant(zero_point):
        return None
    values = array_of(zero_point)
    if values.dtype == np.uint8:  # packed as well, those of each output by themselves
        outputs, inputs, size = (
            integer_attribute(node, name, 1) for name in ("N", "K", "block_size")
        )
        blocks = (-(-inputs // size),)
        rows = values.reshape(outputs, -1)
        values = np.stack([unpack(row, packed_type(node), blocks) for row in rows])
    return float(values.min()), float(values.max())


def _bits(node: ir.Node) -> int:
    return integer_attribute(node, "bits", 4)
