"""The tensors of a graph that depend on its inputs, in the order they come to be."""

from collections.abc import Iterator

import onnx_ir as ir

from qcore.adapters.onnx.graph.bodies import bodies

HALVES = (ir.DataType.FLOAT16, ir.DataType.BFLOAT16)
"""The floats of 16 bits."""

FLOATS = (ir.DataType.FLOAT, *HALVES)
"""The floats of which codes can take the place."""


def tensors(graph: ir.Graph) -> Iterator[ir.Value]:
    """Yield the inputs of a graph, then the results of its nodes."""
    yield from graph.inputs
    for node in graph:
        yield from node.outputs


def all_tensors(graph: ir.Graph) -> Iterator[ir.Value]:
    """Yield the same with those inside of nodes, ahead of what these give."""
    yield from graph.inputs
    for node in graph:
        for body in bodies(node):
            yield from all_tensors(body)
        yield from node.outputs


def values_of(graph: ir.Graph) -> Iterator[ir.Value]:
    """Yield all that has a name in a graph itself, its constants too."""
    yield from graph.inputs
    yield from list(graph.initializers.values())  # which may be renamed meanwhile
    for node in graph:
        yield from node.outputs


def tensors_by_name(graph: ir.Graph) -> dict[str, ir.Value]:
    """Return all tensors by name, where they have one."""
    return {value.name: value for value in all_tensors(graph) if value.name}


def scale_dtype(value: ir.Value) -> str:
    """Return the type that the scales of a tensor must have: its own."""
    dtype = ir.DataType.FLOAT if value.dtype is None else value.dtype
    return dtype.name.lower() if dtype in HALVES else "float32"
