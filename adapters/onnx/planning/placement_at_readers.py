"""Codes where quantized operators read them, and nowhere else.

For runtimes that find out by themselves what else can be done on codes: they move
quantization ahead over operators that commute with it and merge what follows a product.
"""

import onnx_ir as ir

from qcore.adapters.onnx.graph.constants import is_constant
from qcore.adapters.onnx.graph.operands import activations, is_standard
from qcore.adapters.onnx.graph.tensors import FLOATS, all_tensors
from qcore.adapters.onnx.planning.placement import Excludes, Known, Placement
from qcore.adapters.onnx.targets import Target


def place_at_readers(
    graph: ir.Graph,
    compute: set[ir.Node],
    known: Known,
    target: Target,
    excludes: Excludes,
) -> Placement:
    """Return which nodes beside products read codes, and the tensors to quantize."""
    quantized = {value for node in compute for value in activations(node)}
    readers = []
    for node in graph.all_nodes():
        values: list[ir.Value] = []
        if is_standard(node, *target.readers):
            values = list(activations(node))
        elif is_standard(node, "Add"):
            values = _summed(node, compute, target.sums)
        if values and all(map(known, values)) and not excludes(node):
            quantized.update(values)
            readers.append(node)
    return Placement(readers, [v for v in all_tensors(graph) if v in quantized])


def _summed(node: ir.Node, compute: set[ir.Node], sums: str) -> list[ir.Value]:
    """Return the inputs of an Add that shall come in codes."""
    values = list(activations(node))
    if len(values) != 2 or any(map(is_constant, values)) or sums == "none":
        return []
    if not all(value.dtype in FLOATS for value in values):
        return []
    if sums == "all":
        return values
    fused = [value for value in values if _is_result(value, compute)]
    if not fused:
        return []
    return [value for value in values if value is not fused[0]]


def _is_result(value: ir.Value, compute: set[ir.Node]) -> bool:
    """Return whether a sum can merge with the product that gives one of its inputs."""
    alone = len(value.uses()) == 1 and not value.is_graph_output()
    return alone and value.producer() in compute
