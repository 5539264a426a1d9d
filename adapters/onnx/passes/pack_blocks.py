"""Multiply by blocks of 4-bit codes: MatMulNBits, an operator of onnxruntime's own."""

import numpy as np
import onnx_ir as ir

from qcore import pack
from qcore.adapters.onnx.constant_reader import ConstantReader
from qcore.adapters.onnx.stored_operands import StoredOperand
from qcore.adapters.onnx.weights import Stored

DOMAIN = "com.microsoft"

_MIDDLE = 8
"""The zero point that MatMulNBits takes codes of 4 bits to have."""


def can_pack(node: ir.Node, operand: StoredOperand, stored: Stored) -> bool:
    """Return whether onnxruntime has a kernel for a product by these codes."""
    is_matrix = node.op_type == "MatMul" and operand.index == 1
    return (
        is_matrix
        and stored.codes.ndim == 2
        and stored.block is not None
        and stored.codes.dtype.name in {"int4", "uint4"}
    )


def multiply_packed(
    node: ir.Node, operand: StoredOperand, stored: Stored, reader: ConstantReader
) -> None:
    """Put MatMulNBits in the place of a MatMul."""
    x, kernel, size = node.inputs[0], operand.value(node), stored.block
    assert size is not None
    rows, columns = stored.codes.shape
    codes = stored.codes.astype(np.int32)
    codes += _MIDDLE if stored.codes.dtype.name == "int4" else 0
    # What fills up the last block is multiplied by zeros.
    padded = np.pad(codes, ((0, -rows % size), (0, 0)), constant_values=_MIDDLE)
    packed = pack(padded.T.astype(np.uint8), "uint4")
    packed = packed.reshape(columns, -1, size // 2)
    product = ir.node(
        "MatMulNBits",
        [
            x,
            reader.add(kernel, "packed", packed),
            reader.add(kernel, "scale", np.ascontiguousarray(stored.scale.T)),
        ],
        {"K": rows, "N": columns, "bits": 4, "block_size": size},
        domain=DOMAIN,
        name=node.name,
    )
    product.outputs[0].type = node.outputs[0].type
    product.outputs[0].shape = node.outputs[0].shape
    ir.convenience.replace_nodes_and_values(
        reader.graph, node, [node], [product], node.outputs, product.outputs
    )
