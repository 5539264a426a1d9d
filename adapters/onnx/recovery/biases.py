"""Change what layers add to their products."""

from math import prod
from typing import NamedTuple, TypeGuard

import numpy as np
import onnx_ir as ir

from qcore.adapters.codes import CODES
from qcore.adapters.onnx.bias_codes import MOST_CODES, store_bias
from qcore.adapters.onnx.graph.constants import (
    add_constant,
    array_of,
    extents_of,
    is_constant,
)
from qcore.adapters.onnx.graph.names import Names
from qcore.adapters.onnx.graph.nodes import Grid, dequantize_linear
from qcore.adapters.onnx.graph.operands import (
    bias,
    has_unit_factors,
    is_standard,
)
from qcore.adapters.onnx.recovery.layers import Layer
from qcore.adapters.onnx.stored import Stored


def set_bias(
    graph: ir.Graph, layer: Layer, values: np.ndarray, *, bias_codes: bool
) -> None:
    """
    Make these values the bias of a convolution or a Gemm.

    In 32-bit codes if it was in such, or is the first that an integer kernel gets.

    Parameters
    ----------
    graph : Graph
        Quantized.
    layer : Layer
        Of that graph.
    values : array
        float64 ``[outputs]``.
    bias_codes : bool
        Whether the runtime wants biases in codes.
    """
    old = bias(layer.node)
    if _is_coded(old):
        new = _recoded(graph, layer, old, values)
    elif old is None and bias_codes and _has_integer_kernel(layer):
        new = _coded(graph, layer, values)
    else:
        new = _in_floats(graph, layer, old, _floats(layer, values))
    layer.node.resize_inputs(3)
    layer.node.replace_input_with(2, new)


def _in_floats(
    graph: ir.Graph, layer: Layer, old: ir.Value | None, values: np.ndarray
) -> ir.Value:
    """Return a bias in floats: the old one, if nothing else reads it."""
    if is_constant(old) and len(old.uses()) == 1:
        old.const_value = ir.tensor(values, name=old.name)
        old.shape = ir.Shape(values.shape)
        return old
    return add_constant(graph, Names(graph), f"{layer.name}_bias", values)


def can_set_bias(layer: Layer, channels: int) -> bool:
    """Return whether a convolution or Gemm adds nothing but one number a channel."""
    old, node = bias(layer.node), layer.node
    if not has_unit_factors(node):
        return False
    if old is None or _is_coded(old):
        return True
    return is_constant(old) and array_of(old).size in {1, channels}


def _is_coded(bias: ir.Value | None) -> TypeGuard[ir.Value]:
    reader = None if bias is None else bias.producer()
    if reader is None or not is_standard(reader, "DequantizeLinear"):
        return False
    return is_constant(reader.inputs[0])


def _has_integer_kernel(layer: Layer) -> bool:
    formats = [layer.weight.qparams.spec.format.name]
    formats += [] if layer.qparams is None else [layer.qparams.spec.format.name]
    is_float = layer.node.outputs[0].dtype == ir.DataType.FLOAT
    return is_float and len(formats) == 2 and set(formats) <= set(CODES)


def _floats(layer: Layer, values: np.ndarray) -> np.ndarray:
    dtype = layer.node.outputs[0].dtype
    return values.astype("float32" if dtype is None else dtype.numpy())


def _coded(graph: ir.Graph, layer: Layer, values: np.ndarray) -> ir.Value:
    """Return what reads a bias back from codes whose scale is that of the products."""
    assert layer.qparams is not None
    names, name = Names(graph), f"{layer.name}_bias"
    scale = layer.qparams.scale * layer.weight.qparams.scale.reshape(-1)
    stored = _stored(values, np.broadcast_to(scale, values.shape))
    grid = Grid(add_constant(graph, names, f"{name}_scale", stored.scale), None, 0)
    codes = add_constant(graph, names, f"{name}_quantized", stored.codes)
    reader = dequantize_linear(names, name, codes, grid)
    graph.insert_before(layer.node, reader)
    return reader.outputs[0]


def _recoded(
    graph: ir.Graph, layer: Layer, old: ir.Value, values: np.ndarray
) -> ir.Value:
    """Return what reads a bias back from other codes of the scale that it had."""
    reader = old.producer()
    assert reader is not None
    codes, scale = reader.inputs[:2]
    assert codes is not None
    assert scale is not None
    stored = _stored(values, array_of(scale))
    if len(old.uses()) == len(codes.uses()) == 1:
        codes.const_value = ir.tensor(stored.codes, name=codes.name)
        return old
    names = Names(graph)
    own = add_constant(graph, names, f"{layer.name}_bias_quantized", stored.codes)
    axis = 0 if stored.scale.ndim else None
    copy = dequantize_linear(names, f"{layer.name}_bias", own, Grid(scale, None, axis))
    graph.insert_before(layer.node, copy)
    return copy.outputs[0]


def _stored(values: np.ndarray, scale: np.ndarray) -> Stored:
    most = MOST_CODES * scale.astype(np.float64)
    return store_bias(np.clip(values, -most, most), scale)


def add_behind(graph: ir.Graph, layer: Layer, shift: np.ndarray) -> None:
    """
    Add to what a MatMul gives.

    By the constant of the Add behind it, if it has one, else by an Add of its own; but
    not where an integer kernel gives codes at once.
    """
    names, result = Names(graph), layer.node.outputs[0]
    users = list(result.uses())
    if any(use.node.op_type == "QuantizeLinear" for use in users):
        return
    found = _addend(result)
    added = np.zeros(1) if found is None else array_of(found.value)
    # Of the rank of the result, for the reason that `spread_biases` has; or of what was
    # added, if that has more axes.
    rank = max(added.ndim, 1 if result.shape is None else len(result.shape))
    before = added.reshape(-1)
    values = _floats(layer, before + shift).reshape((1,) * (rank - 1) + (-1,))
    addend = add_constant(graph, names, f"{layer.name}_bias", values)
    if found is not None:
        found.node.replace_input_with(found.place, addend)
        return
    add = ir.node("Add", [result, addend], name=names.fresh(f"{layer.name}_Add"))
    biased = add.outputs[0]
    biased.type, biased.shape = result.type, result.shape
    for user, place in users:
        user.replace_input_with(place, biased)
    if result.is_graph_output():
        graph.outputs[:] = [biased if v is result else v for v in graph.outputs]
        biased.name = result.name
        result.name = names.fresh(f"{result.name}_product")
    else:
        biased.name = names.fresh(f"{result.name}_biased")
    graph.insert_after(layer.node, add)


class _Addend(NamedTuple):
    """A constant that is added to something, one number a channel."""

    node: ir.Node
    place: int
    value: ir.Value


def _addend(result: ir.Value) -> _Addend | None:
    """Return what is added to a result, if nothing else uses that."""
    users = list(result.uses())
    if len(users) != 1 or result.is_graph_output():
        return None
    node, place = users[0].node, 1 - users[0].idx
    value = node.inputs[place] if is_standard(node, "Add") else None
    if not is_constant(value):
        return None
    extents = extents_of(value) or (1,)
    is_vector = prod(extents) in {1, extents[-1]}
    return _Addend(node, place, value) if is_vector else None
