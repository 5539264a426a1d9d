"""Constants that operators multiply or look up, which can be stored in codes."""

from dataclasses import dataclass
from math import prod

import onnx_ir as ir

from qcore.adapters.onnx.graph.constants import extents_of, is_constant
from qcore.adapters.onnx.graph.operands import PRODUCTS, integer_attribute, is_standard
from qcore.adapters.onnx.graph.tensors import FLOATS
from qcore.adapters.onnx.planning.eligibility import Reason
from qcore.adapters.onnx.planning.plan import Plan
from qcore.adapters.onnx.targets import Target

_LEAST_ROW = 8
"""Shorter rows of a table gain little: each has a scale of its own, in 32 bits."""


@dataclass(frozen=True)
class StoredOperand:
    """An input that can come from codes.

    Attributes
    ----------
    index : int
        Of the input.
    axis : int or None
        That of the output channels, each of which may have a scale.
    summed : int or None
        The axis that products are summed along, which may be cut into blocks; of a
        table, that of its rows.
    """

    index: int
    axis: int | None
    summed: int | None

    def value(self, node: ir.Node) -> ir.Value:
        """Return the constant."""
        value = node.inputs[self.index]
        assert value is not None
        return value


def stored_operands(node: ir.Node) -> tuple[StoredOperand, ...]:
    """Return the inputs of a node that can be stored in codes."""
    able = (
        operand
        for operand in _operands(node)
        if operand.index < len(node.inputs)
        and is_constant(node.inputs[operand.index])
        and operand.value(node).dtype in FLOATS
    )
    return tuple(able)


def why_not_stored(node: ir.Node, target: Target) -> Reason:
    """Return why none of a node's inputs can be stored in codes, or ``None``."""
    operands = stored_operands(node)
    if not operands:
        return "it has no weight that is a constant of floats"
    # Such as convolutions of each channel by itself, of which few bits leave nothing.
    if max(_of_a_channel(node, operand) for operand in operands) < (target.block or 0):
        return f"a channel has fewer weights than the {target.block} of a block"
    return None


def _of_a_channel(node: ir.Node, operand: StoredOperand) -> int:
    """Return how many weights an output channel has."""
    extents = extents_of(operand.value(node))
    return prod(extents) // (1 if operand.axis is None else extents[operand.axis])


def is_table(node: ir.Node) -> bool:
    """Return whether a Gather looks up rows of a matrix, such as embeddings."""
    table, rows = node.inputs[:2]
    return (
        is_constant(table)
        and table.dtype in FLOATS
        and not is_constant(rows)
        and integer_attribute(node, "axis", 0) == 0
        and len(extents_of(table)) == 2
        and extents_of(table)[1] >= _LEAST_ROW
    )


def multiplied(node: ir.Node) -> ir.Value | None:
    """Return what a product multiplies its weight with, if that is an activation."""
    if not is_standard(node, *PRODUCTS):
        return None
    inputs = (value for value in node.inputs[:2] if not is_constant(value))
    return next(inputs, None)


def multiplied_tensors(graph: ir.Graph, plan: Plan) -> list[str]:
    """Return what products multiply by weights, where these are all in codes."""
    wanted = {*plan.compute, *plan.stores}
    nodes = (node for node in graph.all_nodes() if node.name in wanted)
    values = (multiplied(node) for node in nodes)
    return list(dict.fromkeys(str(value.name) for value in values if value is not None))


def _operands(node: ir.Node) -> tuple[StoredOperand, ...]:
    if node.op_type == "Conv":
        return (StoredOperand(1, 0, 1),)
    if node.op_type == "ConvTranspose":
        return (StoredOperand(1, 1, 0),)
    if node.op_type == "Gemm":
        turned = [integer_attribute(node, name, 0) for name in ("transA", "transB")]
        channels = int(bool(turned[0])), int(not turned[1])
        return tuple(
            StoredOperand(index, axis, 1 - axis) for index, axis in enumerate(channels)
        )
    if node.op_type == "MatMul":
        return tuple(_matrix(node, index) for index in (0, 1))
    if node.op_type == "Gather":
        return (StoredOperand(0, 0, 1),)
    # Rows of W and R, of all gates, for each direction.
    return (StoredOperand(1, 1, 2), StoredOperand(2, 1, 2))


def _matrix(node: ir.Node, index: int) -> StoredOperand:
    """Return a factor of a matrix product; of a stack no single axis has channels."""
    value = node.inputs[index]
    rank = len(extents_of(value)) if is_constant(value) else 0
    summed = rank - 1 if index == 0 or rank == 1 else rank - 2
    return StoredOperand(index, index if rank == 2 else None, summed)
