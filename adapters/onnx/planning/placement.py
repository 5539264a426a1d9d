"""Choose where codes take the place of floats.

1. Nodes that compute in 8 bits read codes; so their activations are quantized.
2. The result of a Conv is quantized, as onnxruntime has no integer Conv with a float
   result. It has a Gemm and a MatMul: these answer in floats where floats are wanted.
3. Operators in between that can carry codes do so where all that they get is in codes
   and an operator that computes on codes wants what they give.
"""

from collections.abc import Callable
from typing import NamedTuple

import onnx_ir as ir

from qcore.adapters.onnx.graph.clamps import (
    CLAMPS,
    OWN_RANGE,
    after_clamp,
    merges_with_producer,
)
from qcore.adapters.onnx.graph.operands import activations, has_holes, is_standard
from qcore.adapters.onnx.graph.tensors import all_tensors
from qcore.adapters.onnx.planning.sharing import moves


def carries(node: ir.Node) -> bool:
    """Return whether a node does on codes what it does on floats, and faster."""
    if node.op_type in SEVERAL_RESULTS:
        return moves(node)
    is_able = moves(node) or (
        is_standard(node, *CLAMPS, *OWN_RANGE) and not has_holes(node)
    )
    return is_able and not any(
        value.uses() or value.is_graph_output() for value in node.outputs[1:]
    )


SEVERAL_RESULTS = frozenset({"Split"})
"""Operators all of whose outputs come in codes."""

Known = Callable[[ir.Value], bool]
"""Answers whether the range of a tensor is known."""

Excludes = Callable[[ir.Node], bool]
"""Answers whether a node is to stay float."""


class Placement(NamedTuple):
    """The nodes that carry codes and the tensors to quantize, in the graph's order."""

    carriers: list[ir.Node]
    quantized: list[ir.Value]


def place(
    graph: ir.Graph, compute: set[ir.Node], known: Known, excludes: Excludes
) -> Placement:
    """Return where codes go, given the nodes that compute in 8 bits."""
    quantized = {value for node in compute for value in in_codes(node)}
    able = _able_to_carry(graph, compute, quantized, known, excludes)
    merged: set[ir.Value] = set()
    carriers = []
    for node in reversed(list(graph.all_nodes())):
        if node in able and (quantized | merged).intersection(node.outputs):
            carriers.append(node)
            if node.op_type in SEVERAL_RESULTS:
                quantized.update(node.outputs)
            target = merged if merges_with_producer(node) else quantized
            target.update(activations(node))
    return Placement(carriers[::-1], [v for v in all_tensors(graph) if v in quantized])


def in_codes(node: ir.Node) -> tuple[ir.Value, ...]:
    """Return the tensors that must be quantized for a node to compute in 8 bits."""
    result = (after_clamp(node.outputs[0]),) if node.op_type == "Conv" else ()
    return (*activations(node), *result)


def _able_to_carry(
    graph: ir.Graph,
    compute: set[ir.Node],
    quantized: set[ir.Value],
    known: Known,
    excludes: Excludes,
) -> set[ir.Node]:
    """Return the nodes all of whose activations can come in codes."""
    able = set()
    coded = set(quantized)
    for node in graph.all_nodes():
        if carries(node) and not excludes(node):
            values = activations(node)
            ranged = merges_with_producer(node) or all(map(known, values))
            if coded.issuperset(values) and ranged:
                able.add(node)
        if node in able or node in compute:
            coded.update(node.outputs)
    return able
