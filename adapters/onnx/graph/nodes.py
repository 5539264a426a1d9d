"""QuantizeLinear and DequantizeLinear nodes, named after what they quantize."""

from typing import Any, NamedTuple

import numpy as np
import onnx_ir as ir

from qcore.adapters.onnx.graph.names import Names
from qcore.adapters.onnx_formats import type_of
from qcore.formats import Format


class Grid(NamedTuple):
    """What codes stand for; several scales lie along the axis, one for each block."""

    scale: ir.Value
    zero_point: ir.Value | None = None
    axis: int | None = None
    block: int | None = None


def dtype_of(fmt: Format, /) -> np.dtype[Any]:
    """Return the dtype that holds codes of a format in ONNX."""
    return ir.DataType(type_of(fmt).number).numpy()


def quantize_linear(names: Names, x: ir.Value, grid: Grid) -> ir.Node:
    """Return a node that turns a tensor into codes of the zero point's type."""
    assert grid.zero_point is not None
    codes = ir.Value(
        name=names.fresh(f"{x.name}_quantized"),
        type=grid.zero_point.type,
        shape=x.shape,
    )
    name = names.fresh(f"{x.name}_QuantizeLinear")
    inputs = [x, grid.scale, grid.zero_point]
    return ir.node("QuantizeLinear", inputs, outputs=[codes], name=name)


def dequantize_linear(names: Names, name: str, codes: ir.Value, grid: Grid) -> ir.Node:
    """Return a node that turns the codes of the tensor `name` back into floats."""
    real = ir.Value(
        name=names.fresh(f"{name}_dequantized"),
        type=grid.scale.type,
        shape=codes.shape,
    )
    place = {"axis": grid.axis, "block_size": grid.block}
    return ir.node(
        "DequantizeLinear",
        [value for value in (codes, grid.scale, grid.zero_point) if value is not None],
        attributes={key: n for key, n in place.items() if n is not None},
        outputs=[real],
        name=names.fresh(f"{name}_DequantizeLinear"),
    )
