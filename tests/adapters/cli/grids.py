"""The scales and zero points in models that the command wrote."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper


def zero_points(path: Path) -> list[np.ndarray]:
    """Return those of the activations."""
    return [zero_point for *_, zero_point in _of_activations(path)]


def scales(path: Path) -> dict[str, float]:
    """Return those of the activations, by tensor."""
    return {name: scale.item() for name, scale, _ in _of_activations(path)}


def _of_activations(path: Path) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    graph = onnx.load(path).graph
    values = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    for node in graph.node:
        if node.op_type == "QuantizeLinear":
            x, scale, zero_point = node.input
            yield x, values[scale], values[zero_point]
