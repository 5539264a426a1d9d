"""Multiply by blocks of 4-bit codes: MatMulNBits, an operator of onnxruntime's own."""

import numpy as np
import onnx_ir as ir

from qcore import pack
from qcore.adapters.onnx.graph.bodies import graph_of
from qcore.adapters.onnx.graph.constants import (
    add_constant,
    array_of,
    extents_of,
    is_constant,
)
from qcore.adapters.onnx.graph.names import Names
from qcore.adapters.onnx.graph.operands import integer_attribute, is_standard

DOMAIN = "com.microsoft"

_MIDDLE = 8
"""The zero point that MatMulNBits takes codes of 4 bits to have."""
_ZERO_POINTS = {ir.DataType.INT4: 0, ir.DataType.UINT4: _MIDDLE}
"""Those that weights have, by the type of their codes."""


def pack_blocks(model: ir.Model) -> ir.Model:
    """Return the model with that operator where a MatMul reads such blocks."""
    names = Names(model.graph)
    for node in list(model.graph.all_nodes()):
        weight = node.inputs[1] if is_standard(node, "MatMul") else None
        reader = None if weight is None else weight.producer()
        if reader is not None and _reads_blocks(reader):
            _replace(names, node, reader)
            model.opset_imports.setdefault(DOMAIN, 1)
    return model


def _reads_blocks(reader: ir.Node) -> bool:
    """Return whether a node decodes blocks along the first axis of a matrix."""
    if not (
        is_standard(reader, "DequantizeLinear") and "block_size" in reader.attributes
    ):
        return False
    codes = reader.inputs[0]
    return (
        is_constant(codes)
        and codes.dtype in _ZERO_POINTS
        and len(extents_of(codes)) == 2
        and integer_attribute(reader, "axis", 1) == 0
    )


def _replace(names: Names, node: ir.Node, reader: ir.Node) -> None:
    codes, scale = reader.inputs[:2]
    assert codes is not None
    assert scale is not None
    assert codes.dtype is not None
    graph = graph_of(codes)
    size = integer_attribute(reader, "block_size", 0)
    rows, columns = extents_of(codes)
    shifted = array_of(codes).astype(np.int32) + _MIDDLE - _ZERO_POINTS[codes.dtype]
    # What fills up the last block is multiplied by zeros.
    padded = np.pad(shifted, ((0, -rows % size), (0, 0)), constant_values=_MIDDLE)
    packed = pack(padded.T.astype(np.uint8), "uint4").reshape(columns, -1, size // 2)
    turned = np.ascontiguousarray(array_of(scale).T)
    product = ir.node(
        "MatMulNBits",
        [
            node.inputs[0],
            add_constant(graph, names, f"{codes.name}_packed", packed),
            add_constant(graph, names, f"{scale.name}_packed", turned),
        ],
        {"K": rows, "N": columns, "bits": 4, "block_size": size},
        domain=DOMAIN,
        name=node.name,
    )
    product.outputs[0].type = node.outputs[0].type
    product.outputs[0].shape = node.outputs[0].shape
    ir.convenience.replace_nodes_and_values(
        graph_of(node), node, [node], [product], node.outputs, product.outputs
    )
