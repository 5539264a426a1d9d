"""How many bytes the constants of a model take, by what they hold."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, prod

import onnx_ir as ir

from qcore.adapters.onnx.inspection.grids import ROLES, Grid, type_name
from qcore.adapters.onnx.operands import integer_attribute

OTHERS = "others"

_GRID = ("scales", "zero points")
_INTEGER = ("", "weights", "zero points", "zero points")

HOLDS = {
    "ConvInteger": _INTEGER,
    "DequantizeLinear": ("", *_GRID),
    "DynamicQuantizeMatMul": ("", "weights", *_GRID),
    "MatMulInteger": _INTEGER,
    "MatMulIntegerToFloat": ("", "weights", "scales", "scales", *_INTEGER[2:]),
    "MatMulNBits": ("", "weights", *_GRID),
    "QGemm": ("", *_GRID, "weights", *_GRID, "biases", *_GRID),
    "QLinearConv": ("", *_GRID, "weights", *_GRID, *_GRID, "biases"),
    "QLinearMatMul": ("", *_GRID, "weights", *_GRID, *_GRID),
    "QuantizeLinear": ("", *_GRID),
}
"""What the inputs of operators are, where they are constants."""


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
    holds = {grid.tensor: ROLES[grid.role] for grid in grids} | _held(model)
    packed = _packed(model)
    found: dict[tuple[str, str], Stored] = {}
    for name, tensor in _constants(model):
        form, values = packed.get(name, (type_name(tensor.dtype), tensor.size))
        held = holds.get(name, OTHERS)
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


def _held(model: ir.Model) -> dict[str, str]:
    """Return what the inputs of operators hold, by name."""
    return {
        str(value.name): held
        for node in model.graph.all_nodes()
        for value, held in zip(node.inputs, HOLDS.get(node.op_type, ()), strict=False)
        if value is not None and held
    }


def _packed(model: ir.Model) -> dict[str, tuple[str, int]]:
    """Return type and number of the weights that onnxruntime's MatMulNBits packs."""
    found = {}
    for node in model.graph.all_nodes():
        if node.op_type == "MatMulNBits" and node.inputs[1] is not None:
            bits = integer_attribute(node, "bits", 4)
            extents = (integer_attribute(node, name, 0) for name in "NK")
            found[str(node.inputs[1].name)] = f"uint{bits}", prod(extents)
    return found
