"""The scales and zero points in a quantized model, tensor by tensor."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from qcore.adapters.onnx.constants import array_of, is_constant
from qcore.adapters.onnx.encoding import type_given
from qcore.adapters.onnx.operands import integer_attribute

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
    if source is None:
        return
    if node.op_type == "DynamicQuantizeLinear":
        yield Grid(str(source.name), "activation", "uint8", "per tensor", 1, None, None)
    elif node.op_type == "QuantizeLinear":
        yield _grid(node, str(source.name), "activation", type_name(type_given(node)))
    elif node.op_type == "DequantizeLinear" and source.producer() is None:
        dtype = source.dtype
        wide = dtype is ir.DataType.INT32
        role = "activation" if not is_constant(source) else "bias" if wide else "weight"
        yield _grid(node, str(source.name), role, type_name(dtype))


def _grid(node: ir.Node, tensor: str, role: str, form: str) -> Grid:
    scale = node.inputs[1]
    size = integer_attribute(node, "block_size", 0)
    axis = integer_attribute(node, "axis", 1)
    if not is_constant(scale):
        return Grid(tensor, role, form, "as the model runs", 1, None, None)
    scales = array_of(scale)
    if size:
        granularity = f"blocks of {size} on axis {axis}"
    else:
        granularity = "per tensor" if scales.size == 1 else f"channels, axis {axis}"
    zero = node.inputs[2] if len(node.inputs) > 2 else None
    zeros = (0.0, 0.0) if zero is None else _ends(zero)
    return Grid(tensor, role, form, granularity, scales.size, _ends(scale), zeros)


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
