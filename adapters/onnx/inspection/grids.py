"""The scales and zero points in a quantized model, tensor by tensor."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from qcore.adapters.onnx.graph.code_operators import (
    BIASES,
    LINEAR,
    RESULT,
    Coded,
    coded,
    operand,
)
from qcore.adapters.onnx.graph.constants import array_of, is_constant
from qcore.adapters.onnx.graph.encoding import type_given
from qcore.adapters.onnx.graph.operands import integer_attribute
from qcore.adapters.onnx.inspection.lookups import Lookup, lookup_of
from qcore.adapters.onnx.inspection.packed import (
    is_packed,
    packed_type,
    packed_zero_points,
)
from qcore.adapters.onnx.inspection.scale_behind import scale_behind

ROLES = {"activation": "activations", "weight": "weights", "bias": "biases"}


@dataclass(frozen=True)
class Grid:
    """What the codes of a tensor stand for.

    Attributes
    ----------
    tensor : str
        The activation, or the constant that holds the codes.
    role : str
        A key of `ROLES`.
    format : str
        Of the codes.
    granularity : str
        Which elements share a scale.
    scales : int
        How many there are.
    scale, zero_point : tuple or None
        The least and the greatest; None if they are found when the model runs.
    """

    tensor: str
    role: str
    format: str
    granularity: str
    scales: int
    scale: tuple[float, float] | None
    zero_point: tuple[float, float] | None


def grids_of(graph: ir.Graph) -> list[Grid]:
    """Return those of activations and constants, each once, in the graph's order."""
    found: dict[str, Grid] = {}
    for node in graph.all_nodes():
        for grid in _grids(node):
            found.setdefault(grid.tensor, grid)
    return list(found.values())


def _grids(node: ir.Node) -> Iterator[Grid]:
    source = node.inputs[0] if node.inputs else None
    if node.op_type.startswith("DynamicQuantize") and source is not None:
        yield Grid(str(source.name), "activation", "uint8", "per tensor", 1, None, None)
    for place in coded(node):
        codes = operand(node, place.codes)
        # What another operator makes is told with that.
        if codes is not None and (place.codes == RESULT or codes.producer() is None):
            yield _grid(node, place, codes)
    lookup = lookup_of(node)
    if lookup is not None:
        yield _table(lookup)
    bias = operand(node, BIASES.get(node.op_type))
    if bias is not None:
        scales = [operand(node, place.scale) for place in coded(node)[:2]]
        yield _bias(bias, [array_of(scale) for scale in scales if is_constant(scale)])


def _grid(node: ir.Node, place: Coded, codes: ir.Value) -> Grid:
    scale, zero_point = operand(node, place.scale), operand(node, place.zero_point)
    role = "weight" if is_constant(codes) else "activation"
    tensor, dtype = codes, codes.dtype
    if node.op_type == "QuantizeLinear" and node.inputs[0] is not None:
        tensor, dtype = node.inputs[0], type_given(node)
    elif dtype is ir.DataType.INT32:
        role = "bias"
    elif dtype is None and zero_point is not None:
        dtype = zero_point.dtype
    if scale is None and role == "weight":
        scale = scale_behind(node)
    name, form = str(tensor.name), type_name(dtype)
    if is_packed(node):
        form, zeros = packed_type(node), packed_zero_points(node, zero_point)
    else:
        zeros = (0.0, 0.0) if zero_point is None else _ends(zero_point)
    if not is_constant(scale):
        return Grid(name, role, form, "as the model runs", 1, None, zeros)
    count = array_of(scale).size
    granularity = "per tensor" if count == 1 else _granularity(node, codes)
    return Grid(name, role, form, granularity, count, _ends(scale), zeros)


def _granularity(node: ir.Node, codes: ir.Value) -> str:
    """Return which elements share one of several scales."""
    size, turns = (integer_attribute(node, n, 0) for n in ("block_size", "transB"))
    axis = -1 if codes.shape is None else len(codes.shape) - 1
    if node.op_type in LINEAR:
        axis = integer_attribute(node, "axis", 1)
    elif is_packed(node) or "Conv" in node.op_type or turns:
        axis = 0
    return f"blocks of {size} on axis {axis}" if size else f"channels, axis {axis}"


def _table(lookup: Lookup) -> Grid:
    table, scale, zero_point = lookup
    ends = None if scale is None else _ends(scale)
    count = array_of(scale).size if is_constant(scale) else 1
    granularity = "per tensor" if count == 1 else "channels, axis 0"
    zeros = (0.0, 0.0) if zero_point is None else _ends(zero_point)
    form = type_name(table.dtype)
    return Grid(str(table.name), "weight", form, granularity, count, ends, zeros)


def _bias(bias: ir.Value, scales: list[np.ndarray]) -> Grid:
    """Return the grid of a bias, of the scales of what is multiplied, if known."""
    ends, count = None, 1
    if len(scales) > 1:
        product = np.multiply(*scales)
        ends, count = (float(product.min()), float(product.max())), product.size
    granularity = "per tensor" if count == 1 else "channels, axis 0"
    form = type_name(bias.dtype)
    return Grid(str(bias.name), "bias", form, granularity, count, ends, (0.0, 0.0))


def _ends(value: ir.Value) -> tuple[float, float] | None:
    if not is_constant(value) or not array_of(value).size:
        return None
    values = array_of(value).astype(np.float64)
    return float(values.min()), float(values.max())


def type_name(dtype: ir.DataType | None) -> str:
    """Return the name of a type as qcore and numpy have it."""
    if dtype is None:
        return "unknown"
    if dtype is ir.DataType.STRING:
        return "string"
    return str(dtype.numpy().name)
