"""Relu and Clip, which merge with the operator before them once it gives codes.

Only what they give is quantized then: the limits of the codes do the clamping.
"""

import onnx_ir as ir

from qcore.adapters.onnx.graph.operands import COMPUTE, activations, is_standard

CLAMPS = ("Clip", "Relu")

OWN_RANGE = (
    *("Add", "AveragePool", "GlobalAveragePool"),
    *("LeakyRelu", "Mul", "Sigmoid"),
)
"""Operators other than products whose codes have another scale than those they get."""


def merges_with_producer(node: ir.Node) -> bool:
    """Return whether this is a clamp, alone behind a node with a range of its own."""
    if not is_standard(node, *CLAMPS):
        return False
    (value,) = activations(node)
    producer = value.producer()
    return (
        producer is not None
        and producer.graph is node.graph
        and is_standard(producer, *COMPUTE, *OWN_RANGE)
        and len(value.uses()) == 1
        and not value.is_graph_output()
    )


def after_clamp(result: ir.Value) -> ir.Value:
    """Return what a clamp that merges makes of a result, or else the result itself."""
    users = [use.node for use in result.uses()]
    clamped = len(users) == 1 and merges_with_producer(users[0])
    return users[0].outputs[0] if clamped else result
