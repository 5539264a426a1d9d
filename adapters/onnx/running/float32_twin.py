"""A model in 32-bit floats in the place of one in bfloat16, of which CPUs run little.

onnxruntime 1.31 has few kernels for it, and none that quantizes. What 32 bits give is
what bfloat16 rounds, operator by operator; scales and constants are the same numbers.
"""

from collections.abc import Iterator

import numpy as np
import onnx_ir as ir

from qcore.adapters.onnx.graph.tensors import values_of

_TYPE_ATTRIBUTES = frozenset({"dtype", "output_dtype", "precision", "stash_type", "to"})
"""Those that say the type of what an operator gives or computes in."""


def has_bfloat16(model: ir.Model) -> bool:
    """Return whether anything in a model is of that type."""
    nodes = model.graph.all_nodes()
    return any(map(_is_short, _values(model))) or any(map(_widened_in, nodes))


def float32_twin(model: ir.Model) -> ir.Model:
    """Return a copy of a model with float32 for bfloat16; the model if it has none."""
    if not has_bfloat16(model):
        return model
    twin = model.clone()
    for value in _values(twin):
        if _is_short(value):
            value.type = _widened(value.type)
            if value.const_value is not None:
                value.const_value = _wide(value.const_value)
    for node in twin.graph.all_nodes():
        for attribute in _widened_in(node):
            node.attributes.add(attribute)
    return twin


def _widened_in(node: ir.Node) -> list[ir.Attr]:
    """Return what stands for the attributes of a node that are of bfloat16."""
    wide = []
    for name, attribute in node.attributes.items():
        if attribute.type == ir.AttributeType.TENSOR:
            tensor = attribute.as_tensor()
            if tensor.dtype == ir.DataType.BFLOAT16:
                wide.append(ir.AttrTensor(name, _wide(tensor)))
        elif name in _TYPE_ATTRIBUTES and attribute.value == ir.DataType.BFLOAT16:
            wide.append(ir.AttrInt64(name, int(ir.DataType.FLOAT)))
    return wide


def _values(model: ir.Model) -> Iterator[ir.Value]:
    for graph in model.graphs():
        yield from values_of(graph)


def _is_short(value: ir.Value) -> bool:
    return value.type is not None and value.dtype == ir.DataType.BFLOAT16


def _widened(kind: ir.TypeProtocol | None) -> ir.TypeProtocol:
    if isinstance(kind, ir.SequenceType | ir.OptionalType):
        return type(kind)(_widened(kind.elem_type))
    return ir.TensorType(ir.DataType.FLOAT)


def _wide(tensor: ir.TensorProtocol) -> ir.TensorProtocol:
    """Return a tensor in 32 bits, made when it is written."""
    return ir.LazyTensor(
        lambda: ir.tensor(tensor.numpy().astype(np.float32), name=tensor.name),
        dtype=ir.DataType.FLOAT,
        shape=ir.Shape(tensor.shape.numpy()),
        name=tensor.name,
    )
