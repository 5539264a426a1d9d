"""What the messages of a model hold: constants and bodies, wherever they are."""

from collections.abc import Iterable, Iterator

import onnx


def tensors(model: onnx.ModelProto, /) -> Iterator[onnx.TensorProto]:
    """Yield all constants of a model, those in bodies and functions too."""
    yield from _tensors(model.graph)
    for function in model.functions:
        yield from _constants(function.node)


def bodies(attribute: onnx.AttributeProto, /) -> list[onnx.GraphProto]:
    """Return the graphs that an attribute holds."""
    own = [attribute.g] if attribute.HasField("g") else []
    return [*own, *attribute.graphs]


def shown(node: onnx.NodeProto, /) -> str:
    """Return a node's operator and name, for sentences."""
    return f"{node.op_type} {node.name!r}"


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    yield from _constants(graph.node)


def _constants(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.TensorProto]:
    for node in nodes:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            for body in bodies(attribute):
                yield from _tensors(body)
