"""The tensors of a graph that depend on its inputs, in the order they come to be."""

from collections.abc import Iterator

import onnx_ir as ir


def tensors(graph: ir.Graph) -> Iterator[ir.Value]:
    """Yield the inputs of a graph, then the results of its nodes."""
    yield from graph.inputs
    for node in graph:
        yield from node.outputs


def tensors_by_name(graph: ir.Graph) -> dict[str, ir.Value]:
    """Return the same by name, where they have one."""
    return {value.name: value for value in tensors(graph) if value.name}


def scale_dtype(value: ir.Value) -> str:
    """Return the type that the scales of a tensor must have: its own."""
    return "float16" if value.dtype == ir.DataType.FLOAT16 else "float32"
