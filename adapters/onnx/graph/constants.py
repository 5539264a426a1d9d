"""The constants of a graph: telling, reading and adding them."""

from typing import TypeGuard

import numpy as np
import onnx_ir as ir

from qcore.adapters.onnx.graph.names import Names


def is_constant(value: ir.Value | None) -> TypeGuard[ir.Value]:
    """Return whether a value is known now and cannot be fed when the model runs."""
    return (
        value is not None
        and value.const_value is not None
        and not value.is_graph_input()
    )


def array_of(constant: ir.Value) -> np.ndarray:
    """Return the array of a constant."""
    assert constant.const_value is not None
    return constant.const_value.numpy()


def extents_of(constant: ir.Value) -> tuple[int, ...]:
    """Return the shape of a constant, its array unread."""
    assert constant.const_value is not None
    return tuple(constant.const_value.shape.numpy())


def add_constant(
    graph: ir.Graph, names: Names, name: str, array: np.ndarray
) -> ir.Value:
    """Return a new initializer of the graph, named `name` if that is still free."""
    tensor = ir.tensor(np.asarray(array, order="C"), name=names.fresh(name))
    value = ir.Value(
        name=tensor.name,
        type=ir.TensorType(tensor.dtype),
        shape=ir.Shape(array.shape),
        const_value=tensor,
    )
    graph.register_initializer(value)
    return value
