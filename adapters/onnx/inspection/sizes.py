"""How many bytes the constants of a model take, by what they hold."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, prod

import onnx_ir as ir

from qcore.adapters.onnx.inspection.grids import ROLES, Grid, type_name
from qcore.adapters.onnx.operands import integer_attribute

OTHERS = "others"

SCALED = {"DequantizeLinear": 1, "QuantizeLinear": 1, "MatMulNBits": 2}
"""Nodes with an input of scales, and which; that of zero points may follow."""


@dataclass(frozen=True)
class Stored:
    """Constants of a kind.

    Attributes
    ----------
    format : str
        Their type.
    holds : str
        What: weights, biases, scales, zero points or others.
    tensors, values, bytes : int
        How many there are.
    float_bytes : int
        How many bytes the float model has in their place.
    """

    format: str
    holds: str
    tensors: int
    values: int
    bytes: int
    float_bytes: int


def sizes_of(model: ir.Model, grids: list[Grid]) -> list[Stored]:
    """Return what the constants of a model take, the largest kind first."""
    holds = {grid.tensor: ROLES[grid.role] for grid in grids}
    holds |= _parts_of_grids(model)
    packed = _packed(model)
    found: dict[tuple[str, str], Stored] = {}
    for name, tensor in _constants(model):
        form, values = packed.get(name, (type_name(tensor.dtype), tensor.size))
        held = "weights" if name in packed else holds.get(name, OTHERS)
        key = form, held
        old = found.get(key, Stored(*key, 0, 0, 0, 0))
        size = ceil(tensor.size * tensor.dtype.itemsize)
        found[key] = Stored(
            *key,
            old.tensors + 1,
            old.values + values,
            old.bytes + size,
            old.float_bytes + _in_float(held, values, size),
        )
    return sorted(found.values(), key=lambda stored: -stored.bytes)


def _in_float(held: str, values: int, size: int) -> int:
    if held == OTHERS:
        return size
    return 4 * values if held in ROLES.values() else 0


def _constants(model: ir.Model) -> Iterator[tuple[str, ir.TensorProtocol]]:
    """Yield each constant and its name, the arrays unread."""
    for graph in model.graphs():
        for name, value in graph.initializers.items():
            if value.const_value is not None:
                yield name, value.const_value
    for node in model.graph.all_nodes():
        if node.op_type == "Constant" and "value" in node.attributes:
            yield str(node.outputs[0].name), node.attributes["value"].as_tensor()


def _parts_of_grids(model: ir.Model) -> dict[str, str]:
    """Return the names of all that are scales or zero points."""
    found: dict[str, str] = {}
    for node in model.graph.all_nodes():
        first = SCALED.get(node.op_type, len(node.inputs))
        parts = zip(node.inputs[first:], ("scales", "zero points"), strict=False)
        found |= {str(value.name): held for value, held in parts if value is not None}
    return found


def _packed(model: ir.Model) -> dict[str, tuple[str, int]]:
    """Return type and number of the weights that onnxruntime's MatMulNBits packs."""
    found = {}
    for node in model.graph.all_nodes():
        if node.op_type == "MatMulNBits" and node.inputs[1] is not None:
            bits = integer_attribute(node, "bits", 4)
            extents = (integer_attribute(node, name, 0) for name in "NK")
            found[str(node.inputs[1].name)] = f"uint{bits}", prod(extents)
    return found
