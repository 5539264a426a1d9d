"""A graph in stages, each of which gives what the layer behind it and later ones need.

DequantizeLinear belongs to whoever reads what it gives: so what is held between stages
are codes, a quarter of the floats; but not those of float8, which onnxruntime hands out
as no array. So do nodes that give a sequence of tensors, or one or none, which cannot
be held.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import onnx_ir as ir

from qcore.adapters.onnx.graph.bodies import bodies
from qcore.adapters.onnx.graph.constants import is_constant
from qcore.adapters.onnx.passes.infer_types import NO_TENSORS
from qcore.adapters.onnx.passes.loadable_float8 import FLOAT8S


@dataclass(frozen=True)
class Stage:
    """Nodes that run together.

    Attributes
    ----------
    nodes : tuple of Node
        In the order of the graph.
    inputs, outputs : tuple of Value
        What must be held for them, and what is to be held of what they give.
    needed : frozenset of Value
        What must still be held afterwards.
    """

    nodes: tuple[ir.Node, ...]
    inputs: tuple[ir.Value, ...]
    outputs: tuple[ir.Value, ...]
    needed: frozenset[ir.Value]


def next_stage(graph: ir.Graph, ran: set[ir.Node], layer: ir.Node) -> Stage:
    """Return what comes before a layer and has not run yet."""
    order = list(graph)
    places = {node: place for place, node in enumerate(order)}
    end = places[layer]
    own = [node for node in order[:end] if not (node in ran or _is_free(node))]
    nodes = _with_free(own, places)
    made = {value for node in nodes for value in node.outputs}
    needed = frozenset(
        value for value, last in _last_uses(order).items() if last >= end
    )
    return Stage(
        tuple(nodes),
        tuple(
            value
            for value in dict.fromkeys(v for node in nodes for v in operands(node))
            if value not in made and not is_constant(value)
        ),
        tuple(value for node in own for value in node.outputs if value in needed),
        needed,
    )


def operands(node: ir.Node) -> Iterator[ir.Value]:
    """Yield what a node reads, and what the graphs inside of it read from outside."""
    inside: set[ir.Value] = set()
    for inner in _nested(node):
        inside.update(inner.outputs)
    for reader in (node, *_nested(node)):
        for value in reader.inputs:
            if value is not None and value not in inside:
                producer = value.producer()
                if (
                    reader is node
                    or value.graph is node.graph
                    or (producer is not None and producer.graph is node.graph)
                ):
                    yield value


def _nested(node: ir.Node) -> Iterator[ir.Node]:
    for body in bodies(node):
        yield from body.all_nodes()


def _is_free(node: ir.Node) -> bool:
    """Return whether a node runs again for each stage that reads what it gives."""
    return _is_decoding(node) or node.op_type in NO_TENSORS


def _is_decoding(node: ir.Node) -> bool:
    """Return whether a node decodes a constant, or codes that are handed out."""
    if node.op_type != "DequantizeLinear":
        return False
    (codes, *_) = node.inputs
    assert codes is not None
    return is_constant(codes) or codes.dtype not in FLOAT8S


def _with_free(nodes: list[ir.Node], places: dict[ir.Node, int]) -> list[ir.Node]:
    """Return nodes with the free ones that they read, in the graph's order."""
    every = set(nodes)
    pending = list(nodes)
    while pending:
        for value in operands(pending.pop()):
            producer = value.producer()
            if producer is not None and _is_free(producer) and producer not in every:
                every.add(producer)
                pending.append(producer)
    return sorted(every, key=places.__getitem__)


def _last_uses(order: list[ir.Node]) -> dict[ir.Value, int]:
    """Return for each tensor the place of the last node that needs it.

    What a free node reads is needed as long as what it gives.
    """
    last: dict[ir.Value, int] = {}
    for place in range(len(order) - 1, -1, -1):
        node = order[place]
        use = place
        if _is_free(node):
            use = max((last.get(value, -1) for value in node.outputs), default=-1)
        for value in operands(node):
            last[value] = max(last.get(value, -1), use)
    return last
