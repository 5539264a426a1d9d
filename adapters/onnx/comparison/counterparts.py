"""Which tensor of a quantized model stands for one of the model it was made of.

The one of the same name, as far as there is one: where operators were merged with
others, what lay between them is gone. If it is put in codes, those who use it read what
comes out of them, and that is what stands for it.
"""

from collections.abc import Iterator, Mapping

import onnx_ir as ir

from qcore.adapters.onnx.graph.bodies import bodies
from qcore.adapters.onnx.graph.tensors import tensors
from qcore.errors import QuantError

COMPARED = (
    ir.DataType.FLOAT16,
    ir.DataType.BFLOAT16,
    ir.DataType.FLOAT,
    ir.DataType.DOUBLE,
)
"""Types that models hand out as arrays of floats, some of them as a float32 twin."""


def inner_tensors(graph: ir.Graph) -> Iterator[ir.Value]:
    """Yield the float tensors that depend on the inputs and are no outputs."""
    varying = set(graph.inputs)
    for value in tensors(graph):
        producer = value.producer()
        if producer is not None and _varies(producer, varying):
            varying.add(value)
        is_inner = value.name and value in varying and not value.is_graph_output()
        if is_inner and (value.dtype is None or value.dtype in COMPARED):
            yield value


def _varies(node: ir.Node, varying: set[ir.Value]) -> bool:
    """Return whether a node gives anything but constants."""
    has_body = next(bodies(node), None) is not None
    return has_body or any(value in varying for value in node.inputs)


def counterparts(
    values: Iterator[ir.Value], quantized: ir.Graph
) -> Iterator[tuple[ir.Value, ir.Value | None]]:
    """Yield each tensor and what stands for it in a quantized graph, if anything.

    An input that is not put in codes is what it was, and is left out.
    """
    known = {value.name: value for value in tensors(quantized)}
    for value in values:
        found = known.get(value.name)
        other = None if found is None else decoded(found)
        if other is None or not other.is_graph_input():
            yield value, other


def decoded(value: ir.Value) -> ir.Value:
    """Return what DequantizeLinear makes of a tensor's codes, or else the tensor."""
    for codes in _results(value, "QuantizeLinear"):
        for real in _results(codes, "DequantizeLinear"):
            return real
    return value


def _results(value: ir.Value, op_type: str) -> Iterator[ir.Value]:
    for node, place in value.uses():
        # In bodies it may be decoded, too, once for each.
        if node.op_type == op_type and place == 0 and node.graph is value.graph:
            yield node.outputs[0]


def paired_outputs(
    graph: ir.Graph, quantized: ir.Graph
) -> list[tuple[ir.Value, ir.Value]]:
    """Return the outputs of both, by name or, where names differ, in their order.

    Raises
    ------
    QuantError
        If neither is possible.
    """
    own, other = list(graph.outputs), list(quantized.outputs)
    by_name: Mapping[str | None, ir.Value] = {value.name: value for value in other}
    if all(value.name in by_name for value in own):
        return [(value, by_name[value.name]) for value in own]
    if len(own) != len(other):
        raise QuantError(
            f"the models must have the same outputs; got {_names(own)} and "
            f"{_names(other)}."
        )
    return list(zip(own, other, strict=True))


def _names(values: list[ir.Value]) -> str:
    return ", ".join(repr(value.name) for value in values)
