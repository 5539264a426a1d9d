"""Which tensors must share a scale, and whose values decide it.

An operator that only moves values, or picks from them, gives codes of the very scale
that it got; Concat needs one scale for all that it joins.
"""

from collections.abc import Iterable

import onnx_ir as ir

from qcore.adapters.onnx.graph.operands import activations, is_standard

MOVERS = frozenset(
    {
        "Concat",
        "DepthToSpace",
        "Dropout",
        "Expand",
        "Flatten",
        "Gather",
        "GatherElements",
        "Identity",
        "MaxPool",
        "ReduceMax",
        "ReduceMin",
        "Reshape",
        "Resize",
        "Slice",
        "SpaceToDepth",
        "Split",
        "Squeeze",
        "Tile",
        "Transpose",
        "Unsqueeze",
    }
)
"""Operators whose outputs hold no value that none of their inputs has."""


def moves(node: ir.Node) -> bool:
    """Return whether a node's outputs hold no value that none of its inputs has."""
    if not is_standard(node, *MOVERS):
        return False
    if node.op_type == "Resize":
        mode = node.attributes.get("mode")
        where = node.attributes.get("coordinate_transformation_mode")
        # What lies outside of the region that this one crops gets a value of its own.
        crops = where is not None and where.as_string() == "tf_crop_and_resize"
        return (mode is None or mode.as_string() == "nearest") and not crops
    if node.op_type == "Dropout":  # as it is when a model answers
        return len(node.inputs) < 3 or node.inputs[2] is None
    return True


def share(
    quantized: Iterable[ir.Value], carriers: Iterable[ir.Node]
) -> dict[str, tuple[str, ...]]:
    """Return for each tensor, by name, those whose values give the range of its group.

    Parameters
    ----------
    quantized : iterable of Value
        In the order of the graph.
    carriers : iterable of Node
        Those that pass codes on; of these, the movers tie tensors together.
    """
    group = {value: [value] for value in quantized}
    moved: set[ir.Value] = set()
    for node in carriers:
        if moves(node):
            moved.update(node.outputs)
            for value in activations(node):
                for output in node.outputs:
                    _join(group, value, output)
    order = {value: place for place, value in enumerate(group)}
    return {
        str(value.name): tuple(
            str(member.name)
            for member in sorted(members, key=order.__getitem__)
            if member not in moved
        )
        for value, members in group.items()
    }


def _join(group: dict[ir.Value, list[ir.Value]], a: ir.Value, b: ir.Value) -> None:
    if group[a] is not group[b]:
        group[a].extend(group[b])
        for member in group[b]:
            group[member] = group[a]
