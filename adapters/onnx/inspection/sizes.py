"""How many bytes the constants of a model take, by what they hold."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

import onnx_ir as ir

from qcore.adapters.onnx.graph.code_operators import BIASES, coded, operand
from qcore.adapters.onnx.inspection.grids import ROLES, Grid, type_name
from qcore.adapters.onnx.inspection.lookups import lookup_of
from qcore.adapters.onnx.inspection.packed import is_packed, packed_size, packed_type
from qcore.adapters.onnx.inspection.scale_behind import scale_behind

OTHERS = "others"


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
    holds = _held(model) | holds
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
    found: dict[str, str] = {}
    for node in model.graph.all_nodes():
        for place in coded(node):
            for index, what in (
                (place.codes, ROLES["weight"]),
                (place.scale, "scales"),
                (place.zero_point, "zero points"),
            ):
                value = operand(node, index)
                if value is not None:
                    found.setdefault(str(value.name), what)
        bias = operand(node, BIASES.get(node.op_type))
        if bias is not None:
            found[str(bias.name)] = ROLES["bias"]
        lookup = lookup_of(node)
        scale = scale_behind(node) if lookup is None else lookup.scale
        zero_point = None if lookup is None else lookup.zero_point
        for value, what in ((scale, "scales"), (zero_point, "zero points")):
            if value is not None:
                found.setdefault(str(value.name), what)
    return found


def _packed(model: ir.Model) -> dict[str, tuple[str, int]]:
    """Return type and number of packed weights, by name."""
    return {
        str(node.inputs[1].name): (packed_type(node), packed_size(node))
        for node in model.graph.all_nodes()
        if is_packed(node) and node.inputs[1] is not None
    }
