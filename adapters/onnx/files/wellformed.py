"""Refuse files that are no models before anything is made of what they claim.

Only what would otherwise fail without saying so, or make others allocate what a file
does not hold: oddities that runtimes take, such as nodes in any order, are no concern
here.
"""

from collections.abc import Iterable

import onnx

from qcore.adapters.onnx.files.cycles import check_order
from qcore.adapters.onnx.files.messages import bodies, shown
from qcore.adapters.onnx.files.tensor_content import check_content
from qcore.errors import QuantError


def refuse_malformed(model: onnx.ModelProto, /) -> None:
    """
    Raise where tensors hold not what they claim, or nodes read what nothing makes.

    Raises
    ------
    QuantError
        It names the first tensor or node.
    """
    _check_graph(model.graph, frozenset())
    for function in model.functions:
        _check_nodes(function.node, function.output, frozenset(function.input))


def _check_graph(graph: onnx.GraphProto, outer: frozenset[str]) -> None:
    for tensor in graph.initializer:
        _check_name(tensor.name, "the name of an initializer")
        check_content(tensor)
    known = {value.name for value in graph.input}
    known.update(tensor.name for tensor in graph.initializer)
    known.update(sparse.values.name for sparse in graph.sparse_initializer)
    ends = [value.name for value in graph.output]
    _check_nodes(graph.node, ends, outer.union(known))


def _check_nodes(
    nodes: Iterable[onnx.NodeProto], ends: Iterable[str], given: frozenset[str]
) -> None:
    """Raise unless nodes make what they and the outputs read, each thing once."""
    makers: dict[str, onnx.NodeProto] = {}
    for node in nodes:
        for kind in ("op_type", "domain", "name"):
            _check_name(getattr(node, kind), f"the {kind} of a node")
        for name in filter(None, node.output):
            if name in makers or name in given:
                raise QuantError(
                    f"{name!r} must be made once; {shown(node)} does, too."
                )
            makers[name] = node
    known = given.union(makers)
    for name in ends:
        if name not in known:
            raise QuantError(
                f"the model's graph gives {name!r}, which nothing in it makes."
            )
    for node in nodes:
        for name in node.input:
            if name and name not in known:
                raise QuantError(f"{shown(node)} reads {name!r}, which nothing makes.")
        for attribute in node.attribute:
            _check_name(attribute.name, f"the name of an attribute of {shown(node)}")
            if attribute.HasField("t"):
                check_content(attribute.t)
            for body in bodies(attribute):
                _check_graph(body, known)
    check_order(nodes, makers)


def _check_name(name: object, what: str) -> None:
    # What is no UTF-8 protobuf gives as bytes, which no writer of models takes.
    if not isinstance(name, str):
        raise QuantError(f"{what} of the model must be text; got {name!r}.")
