"""Which tensors must share a scale, and whose values decide it.

An operator that only moves values, or picks from them, gives codes of the very scale
that it got; Concat needs one scale for all that it joins.
"""

from collections.abc import Iterable

import onnx_ir as ir

from qcore.adapters.onnx.operands import activations

MOVERS = frozenset(
    {
        "Concat",
        "DepthToSpace",
        "Flatten",
        "MaxPool",
        "Reshape",
        "Slice",
        "SpaceToDepth",
        "Squeeze",
        "Transpose",
        "Unsqueeze",
    }
)
"""Operators whose output holds no value that none of their inputs has."""


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
    moved = set()
    for node in carriers:
        if node.op_type in MOVERS:
            output = node.outputs[0]
            moved.add(output)
            for value in activations(node):
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
