"""The graphs inside of operators: branches of If, bodies of Loop, Scan and others."""

from collections.abc import Iterator, Mapping
from typing import TypeAlias

import onnx_ir as ir

from qcore.adapters.onnx.graph.operands import is_standard

Enclosing: TypeAlias = Mapping[ir.Graph, ir.Node]
"""By body: the node that it lies inside of."""

OBSERVED = ("If", "Loop", "Scan")
"""Operators of whose bodies every run can be watched."""


def bodies(node: ir.Node) -> Iterator[ir.Graph]:
    """Yield the graphs right inside of a node."""
    for attribute in node.attributes.values():
        if attribute.type == ir.AttributeType.GRAPH:
            yield attribute.as_graph()
        elif attribute.type == ir.AttributeType.GRAPHS:
            yield from attribute.as_graphs()


def enclosing_nodes(graph: ir.Graph) -> Enclosing:
    """Return by body, of all depths, the node that it lies inside of."""
    return {body: node for node in graph.all_nodes() for body in bodies(node)}


def nodes_around(place: object, enclosing: Enclosing) -> Iterator[ir.Node]:
    """Yield the nodes that a graph lies inside of, the innermost first."""
    while isinstance(place, ir.Graph) and place in enclosing:
        node = enclosing[place]
        yield node
        place = node.graph


def graph_of(item: ir.Value | ir.Node) -> ir.Graph:
    """Return the graph that a tensor is made in, or a node lies in."""
    graph = item.graph
    assert isinstance(graph, ir.Graph)
    return graph


def passed_on(value: ir.Value, enclosing: Enclosing) -> Iterator[ir.Value]:
    """Yield what a tensor is called on the other side of a body's border, if it passes.

    What If, Loop and Scan are given is an input of their body; what a body gives is
    what they give, and what the next run of a Loop or Scan begins with.
    """
    for user, place in value.uses():
        if is_standard(user, "Loop", "Scan"):
            yield user.attributes["body"].as_graph().inputs[place]
    body = graph_of(value)
    node = enclosing.get(body)
    if node is None or not is_standard(node, *OBSERVED):
        return
    conditions = int(node.op_type == "Loop")
    for place, output in enumerate(body.outputs):
        if output is value and place >= conditions:
            yield node.outputs[place - conditions]
            if node.op_type != "If" and place - conditions < states_of(node):
                yield body.inputs[place + conditions]


def states_of(node: ir.Node) -> int:
    """Return how many tensors a Loop or Scan hands from each run to the next."""
    body = node.attributes["body"].as_graph()
    if node.op_type == "Loop":
        return len(body.inputs) - 2
    return len(body.inputs) - node.attributes["num_scan_inputs"].as_int()
