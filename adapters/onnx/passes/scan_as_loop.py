"""Write a Scan as the Loop that does the same.

A Loop can hand on what changes its shape, and sequences of tensors.
"""

from collections.abc import Collection

import numpy as np
import onnx_ir as ir

from qcore.adapters.onnx.graph.bodies import (
    enclosing_nodes,
    graph_of,
    nodes_around,
    states_of,
)
from qcore.adapters.onnx.graph.names import Names
from qcore.adapters.onnx.graph.operands import is_standard
from qcore.adapters.onnx.graph.replacement import Replacement
from qcore.adapters.onnx.graph.tensors import tensors_by_name

_FIRST = -(2**63)
"""The end of a Slice that goes back to the very first element."""


def scan_as_loop(model: ir.Model, tensors: Collection[str]) -> ir.Model:
    """Return the model with a Loop for every Scan that one of these tensors is in."""
    names = Names(model.graph)
    values = tensors_by_name(model.graph)
    enclosing = enclosing_nodes(model.graph)
    scans = {
        node: None
        for name in tensors
        for node in nodes_around(values[name].graph, enclosing)
        if is_standard(node, "Scan")
    }
    for node in scans:
        _replace(Replacement(graph_of(node), names, node))
    return model


def why_no_loop(scan: ir.Node) -> str | None:
    """Return why a Scan cannot be written as a Loop, or ``None``."""
    body, states = scan.attributes["body"].as_graph(), states_of(scan)
    axes = _numbers(scan, "scan_output_axes", len(body.outputs) - states)
    for axis, output in zip(axes, body.outputs[states:], strict=True):
        if axis and output.shape is None:
            return f"the rank of {output.name!r} is unknown"
    return None


def _replace(new: Replacement) -> None:
    """Put a Loop in the place of a Scan, with its body."""
    scan, body = new.node, new.node.attributes["body"].as_graph()
    states = states_of(scan)
    runs = _turn_inputs(new, body, states)
    loop = ir.Node(
        "",
        "Loop",
        [runs, None, *scan.inputs[:states]],
        [ir.AttrGraph("body", body)],
        num_outputs=len(scan.outputs),
        name=scan.name,
    )
    new.nodes.append(loop)
    pieces = body.outputs[1 + states :]
    axes = _numbers(scan, "scan_output_axes", len(pieces))
    backwards = _numbers(scan, "scan_output_directions", len(pieces))
    stacked = zip(loop.outputs[states:], pieces, axes, backwards, strict=True)
    results = [*loop.outputs[:states], *(_turned(new, *each) for each in stacked)]
    ir.convenience.replace_nodes_and_values(
        new.graph, scan, [scan], new.nodes, scan.outputs, results
    )


def _turn_inputs(new: Replacement, body: ir.Graph, states: int) -> ir.Value:
    """Let the body take its slices by itself; return how many there are."""
    scan = new.node
    scanned = [value for value in scan.inputs[states:] if value is not None]
    axes = _numbers(scan, "scan_input_axes", len(scanned))
    backwards = _numbers(scan, "scan_input_directions", len(scanned))
    extents = new.add("Shape", scanned[:1])
    extents.type = ir.TensorType(ir.DataType.INT64)
    runs = new.add("Gather", [extents, new.constant("axis", np.asarray(axes[0]))])
    last = new.add("Sub", [runs, new.constant("one", np.asarray(1))])

    inside = Replacement(body, new.names, scan)
    number = _input(new, "number", ir.DataType.INT64)
    going = _input(new, "going", ir.DataType.BOOL)
    goes_on = inside.add("Identity", [going])
    turned = inside.add("Sub", [last, number])
    slices = body.inputs[states:]
    body.inputs[:] = [number, going, *body.inputs[:states]]
    for x, axis, back, piece in zip(scanned, axes, backwards, slices, strict=True):
        taken = inside.add("Gather", [x, turned if back else number], {"axis": axis})
        taken.type, taken.shape, taken.name = piece.type, piece.shape, piece.name
        piece.replace_all_uses_with(taken, replace_graph_outputs=True)
    if len(body):
        body.insert_before(body[0], inside.nodes)
    else:
        body.extend(inside.nodes)
    body.outputs[:] = [goes_on, *body.outputs]
    return runs


def _turned(
    new: Replacement, stack: ir.Value, piece: ir.Value, axis: int, back: int
) -> ir.Value:
    """Return what a Scan makes of pieces that lie along the first axis."""
    if back:
        bounds = [
            new.numbers(name, [number])
            for name, number in (("from", -1), ("to", _FIRST), ("axes", 0), ("by", -1))
        ]
        stack = new.add("Slice", [stack, *bounds])
    if axis:
        assert piece.shape is not None
        order = list(range(1, len(piece.shape) + 1))
        order.insert(axis if axis >= 0 else len(order) + 1 + axis, 0)
        stack = new.add("Transpose", [stack], {"perm": order})
    return stack


def _input(new: Replacement, name: str, dtype: ir.DataType) -> ir.Value:
    return ir.Value(
        name=new.names.fresh(f"{new.node.name}_{name}"),
        type=ir.TensorType(dtype),
        shape=ir.Shape([]),
    )


def _numbers(scan: ir.Node, name: str, count: int) -> list[int]:
    """Return an attribute that is a number for each of some tensors, 0 by default."""
    given = scan.attributes.get(name)
    return [0] * count if given is None else list(given.as_ints())
