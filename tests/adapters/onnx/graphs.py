"""What is read off models, and how close their answers are."""

from collections.abc import Iterator

import numpy as np
import onnx
from onnx.numpy_helper import to_array


def sqnr(wanted: np.ndarray, got: np.ndarray) -> float:
    return float(10 * np.log10((wanted**2).sum() / ((wanted - got) ** 2).sum()))


def constants(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {tensor.name: to_array(tensor) for tensor in model.graph.initializer}


def all_nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """Yield the nodes of a graph and of the bodies inside of it."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from all_nodes(attribute.g)


def initializers(graph: onnx.GraphProto) -> dict[str, np.ndarray]:
    """Return the constants of a graph and of the bodies inside of it."""
    found = {tensor.name: to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                found |= initializers(attribute.g)
    return found
