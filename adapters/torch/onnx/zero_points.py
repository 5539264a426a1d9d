"""Zero points that no two weights share.

Exporters keep one of several equal constants. ONNX Runtime 1.31, asked for exact int8
kernels (``session.x64quantprecision``), writes the zero points of weights anew, each
once, and refuses a model in which two weights have the same one.
"""

import onnx_ir as ir

from qcore.adapters.onnx.graph.constants import add_constant, array_of, is_constant
from qcore.adapters.onnx.graph.names import Names

_PLACE = 2
"""Of the zero point among the inputs of QuantizeLinear and DequantizeLinear."""


def separate_zero_points(model: ir.Model, /) -> None:
    """Give every weight a zero point of its own."""
    graph = model.graph
    names = Names(graph)
    taken: set[ir.Value] = set()
    for node in graph:
        is_first = node.op_type in ("QuantizeLinear", "DequantizeLinear")
        if not (is_first and is_constant(node.inputs[0]) and len(node.inputs) > _PLACE):
            continue
        zero_point = node.inputs[_PLACE]
        if not is_constant(zero_point):
            continue
        if zero_point in taken or any(
            not is_constant(other.inputs[0]) and other not in _followers(node)
            for other, _ in zero_point.uses()
        ):
            own = add_constant(graph, names, str(zero_point.name), array_of(zero_point))
            for user in (node, *_followers(node)):
                user.replace_input_with(_PLACE, own)
            zero_point = own
        taken.add(zero_point)


def _followers(node: ir.Node) -> list[ir.Node]:
    """Return what dequantizes the codes that a node makes."""
    users = (user for user, _ in node.outputs[0].uses())
    return [user for user in users if user.op_type == "DequantizeLinear"]
