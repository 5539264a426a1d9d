"""Operators between those that compute on codes, which do so in floats, and why."""

from collections.abc import Collection, Iterator

import onnx_ir as ir

from qcore.adapters.onnx.graph.operands import written_as
from qcore.adapters.onnx.planning.placement import Excludes, carries
from qcore.adapters.onnx.planning.plan import KeptFloat


def floats_between(
    graph: ir.Graph,
    on_codes: Collection[ir.Node],
    quantized: Collection[ir.Value],
    excludes: Excludes,
    target: str,
) -> Iterator[KeptFloat]:
    """Yield the nodes that make floats of what was in codes, to be quantized again.

    Parameters
    ----------
    graph : Graph
        The prepared graph.
    on_codes : collection of Node
        Those that compute on codes or pass them on.
    quantized : collection of Value
        The tensors in codes.
    excludes : callable
        Tells whether the user wants a node to stay float.
    target : str
        The runtime, which carries codes as far as it can.
    """
    for node in graph.all_nodes():
        reads = any(
            value in quantized or value.producer() in on_codes
            for value in node.inputs
            if value is not None
        )
        gives = any(value in quantized for value in node.outputs)
        if reads and gives and node not in on_codes:
            reason = f"{target} has no integer kernel for it"
            if carries(node):
                reason = "not all that it reads is in codes"
            if excludes(node):
                reason = "it is excluded"
            yield KeptFloat(str(node.name), written_as(node), reason)
