"""Divide inputs of products by what their outliers are too large, channel by channel.

"SmoothQuant", Xiao et al., arXiv:2211.10438. The weights take the factors. So does the
normalization before, if nothing else reads what it gives; else a Mul does it.
"""

from collections.abc import Iterable, Mapping

import numpy as np
import onnx_ir as ir

from qcore.adapters.onnx.graph.constants import (
    add_constant,
    array_of,
    extents_of,
    is_constant,
)
from qcore.adapters.onnx.graph.names import Names
from qcore.adapters.onnx.graph.operands import integer_attribute, is_standard
from qcore.recovery import smooth_quant
from qcore.statistics import Statistics

Readers = Mapping[ir.Value, list[ir.Node]]


def smoothable(graph: ir.Graph, nodes: Iterable[str]) -> Readers:
    """Return the inputs of these products that can be smoothed, with who reads them.

    Those are inputs of matrices, the last axis of which is that of the channels.
    """
    wanted = set(nodes)
    readers: dict[ir.Value, list[ir.Node]] = {}
    for node in graph:
        if node.name in wanted and is_standard(node, "Gemm", "MatMul"):
            x, weight = node.inputs[:2]
            is_matrix = is_constant(weight) and len(extents_of(weight)) == 2
            is_turned = integer_attribute(node, "transA", 0)
            if x is not None and not is_constant(x) and is_matrix and not is_turned:
                readers.setdefault(x, []).append(node)
    return readers


def smooth_inputs(
    model: ir.Model,
    readers: Readers,
    seen: Mapping[str, Statistics],
    alpha: float,
) -> ir.Model:
    """
    Return the model with smoothed inputs.

    Parameters
    ----------
    model : Model
        Float, and the same function afterwards but for rounding.
    readers : mapping
        Of `smoothable`.
    seen : mapping
        Statistics of each input per channel, by name.
    alpha : float
        How much of the outliers the weights take, from 0 to 1.
    """
    scales = {}
    for x, nodes in readers.items():
        weights = [_by_output(node) for node in nodes]
        scales[x], _ = smooth_quant(seen[str(x.name)], weights, alpha=alpha)
    return divide_inputs(model, readers, scales)


def divide_inputs(
    model: ir.Model, readers: Readers, scales: Mapping[ir.Value, np.ndarray]
) -> ir.Model:
    """Return the model with inputs divided by scales, ``[channels]``, of theirs.

    Weights are multiplied, so that it stays the same function but for rounding. They
    keep their names where no other node reads them.
    """
    graph, names = model.graph, Names(model.graph)
    weights = [_weight(node) for nodes in readers.values() for node in nodes]
    shared = {weight for weight in weights if len(weight.uses()) > 1}
    for x, nodes in readers.items():
        scale = scales[x]
        for node in nodes:
            if _weight(node) in shared:
                _copy_weight(graph, names, node)
            _multiply_weight(node, scale)
        if not _absorbed(graph, names, x, nodes, 1 / scale):
            _multiplied(graph, names, x, nodes, 1 / scale)
    return model


def input_channels(node: ir.Node) -> int:
    """Return how many channels the input of a product has."""
    return extents_of(_weight(node))[_input_axis(node)]


def _input_axis(node: ir.Node) -> int:
    """Return the axis of a weight that is summed over."""
    return 1 if node.op_type == "Gemm" and integer_attribute(node, "transB", 0) else 0


def _weight(node: ir.Node) -> ir.Value:
    weight = node.inputs[1]
    assert weight is not None
    return weight


def _by_output(node: ir.Node) -> np.ndarray:
    """Return a weight, one row for each output."""
    values = array_of(_weight(node)).astype(np.float32)
    return values if _input_axis(node) else values.T


def _copy_weight(graph: ir.Graph, names: Names, node: ir.Node) -> None:
    old = _weight(node)
    copy = add_constant(graph, names, f"{old.name}_smoothed", array_of(old))
    node.replace_input_with(1, copy)


def _multiply_weight(node: ir.Node, scale: np.ndarray) -> None:
    if (scale == 1).all():
        return
    weight = _weight(node)
    before = array_of(weight)
    along = np.expand_dims(scale, 1 - _input_axis(node))
    after = (before.astype(np.float32) * along).astype(before.dtype)
    weight.const_value = ir.tensor(after, name=weight.name)


def _absorbed(
    graph: ir.Graph,
    names: Names,
    x: ir.Value,
    nodes: list[ir.Node],
    factor: np.ndarray,
) -> bool:
    """Let a normalization multiply by a factor, if these nodes alone see the result."""
    norm = x.producer()
    seen_by = {use.node for use in x.uses()}
    if norm is None or x.is_graph_output() or not seen_by <= set(nodes):
        return False
    if not is_standard(norm, "LayerNormalization", "RMSNormalization"):
        return False
    parameters = [(place, value) for place, value in enumerate(norm.inputs) if place]
    for _, value in parameters:
        if not is_constant(value) or extents_of(value) != factor.shape:
            return False
    for place, value in parameters:
        assert value is not None
        old = array_of(value)
        new = (old * factor).astype(old.dtype)
        norm.replace_input_with(
            place, add_constant(graph, names, f"{value.name}_smoothed", new)
        )
    return True


def _multiplied(
    graph: ir.Graph,
    names: Names,
    x: ir.Value,
    nodes: list[ir.Node],
    factor: np.ndarray,
) -> None:
    """Let these nodes read the product of what they read with a factor."""
    dtype = np.float32 if x.dtype is None else x.dtype.numpy()
    constant = add_constant(graph, names, f"{x.name}_smoothing", factor.astype(dtype))
    result = ir.Value(
        name=names.fresh(f"{x.name}_smoothed"), type=x.type, shape=x.shape
    )
    product = ir.node(
        "Mul", [x, constant], outputs=[result], name=names.fresh(f"{x.name}_Mul")
    )
    producer = x.producer()
    if producer is None:
        graph.insert_before(graph[0], product)
    else:
        graph.insert_after(producer, product)
    for node in nodes:
        node.replace_input_with(0, result)
