"""QuantizeLinear and DequantizeLinear at the sites of a program."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import onnx_ir as ir

from qcore import PerBlock, QParams, QuantSpec, qparams_from_data
from qcore.adapters.jax.config import Plan
from qcore.adapters.jax.onnx.builder import Builder, Operand, is_known
from qcore.adapters.jax.onnx.codes import Codes, dtype_of
from qcore.adapters.onnx_formats import BLOCKS, limits_of, opset_of, type_of
from qcore.errors import QuantError

InGraph = Callable[[Callable[..., Any], ir.Value, Any], tuple[list[Operand], list[Any]]]
"""Writes what a function does to a value of the graph; gives results and shapes."""


@dataclass(frozen=True)
class Grid:
    """Scales of an operand of the graph, which may be values of it too."""

    scale: Operand
    zero_point: Operand
    shape: tuple[int, ...]
    spec: QuantSpec

    @property
    def several(self) -> bool:
        """Whether there is more than one."""
        return prod(self.shape) > 1


def quantized(
    builder: Builder,
    plan: Plan,
    qparams: QParams | None,
    operand: Operand,
    *,
    aval: Any,
    in_graph: InGraph,
) -> Operand:
    """
    Return an operand quantized and dequantized.

    Parameters
    ----------
    builder
        Of the graph.
    plan : Plan
        Of the site.
    qparams : QParams or None
        Without, those of the operand's own range.
    operand
        What is known becomes codes, anything else a pair of nodes.
    aval
        Shape and dtype of the operand.
    in_graph : callable
        Writes the search for a range.

    Raises
    ------
    QuantError
        If ONNX cannot say it; names the site.
    """
    if aval.dtype.itemsize > np.dtype(np.float32).itemsize:
        raise QuantError(
            f"operands must be of at most 32 bits to be exported; {plan.site.name} is "
            f"{aval.dtype}."
        )
    try:
        if is_known(operand):
            return _stored(builder, plan, qparams, operand)
        return _pair(
            builder, plan, _grid(plan, qparams, operand, aval, in_graph), operand, aval
        )
    except QuantError as error:
        raise _placed(error, plan) from error


def opset_needed(plan: Plan, spec: QuantSpec, /) -> int:
    """
    Return the first opset that has what a site needs.

    Raises
    ------
    QuantError
        If none has; names the site.
    """
    blocks = isinstance(spec.granularity, PerBlock)
    try:
        if plan.site.is_weight:  # which is rounded now
            return max(type_of(spec.format).opset, BLOCKS if blocks else 0)
        return _check(spec, spec.granularity.scale_shape(plan.site.shape))
    except QuantError as error:
        raise _placed(error, plan) from error


def _check(spec: QuantSpec, shape: tuple[int, ...]) -> int:
    """Return the opset that has scales of a shape, or raise QuantError."""
    scales = np.empty(shape, np.float32)
    return opset_of(QParams(scales, scales, spec))


def _placed(error: QuantError, plan: Plan) -> QuantError:
    """Return an error that names the site."""
    return type(error)(f"{plan.site.name} cannot be exported: {error}")


def _stored(
    builder: Builder, plan: Plan, qparams: QParams | None, operand: Any
) -> Codes:
    x = jnp.asarray(operand)
    if qparams is None:
        qparams = qparams_from_data(x, plan.spec, xp=jnp)
    name = builder.origin(operand) or plan.site.name
    return Codes.of(x, qparams, name)


def _grid(
    plan: Plan, qparams: QParams | None, operand: ir.Value, aval: Any, in_graph: InGraph
) -> Grid:
    if qparams is not None:
        scale = np.asarray(qparams.scale, np.float32)
        zero_point = np.asarray(qparams.zero_point, np.int32)
        return Grid(scale, zero_point, scale.shape, qparams.spec)

    def found(x: jax.Array) -> tuple[jax.Array, jax.Array]:
        qparams = qparams_from_data(x, plan.spec, xp=jnp)
        return qparams.scale.astype(jnp.float32), qparams.zero_point

    (scale, zero_point), avals = in_graph(found, operand, aval)
    return Grid(scale, zero_point, tuple(avals[0].shape), plan.spec)


def _pair(builder: Builder, plan: Plan, grid: Grid, x: ir.Value, aval: Any) -> ir.Value:
    spec, kind = grid.spec, type_of(grid.spec.format)
    _check(spec, grid.shape)
    place: dict[str, int] = {}
    if grid.several and isinstance(spec.granularity, PerBlock):
        block = spec.granularity
        place = {"axis": block.axis % len(aval.shape), "block_size": block.size}
        flat = grid.shape
    elif grid.several:
        (axis,) = (axis for axis, n in enumerate(grid.shape) if n != 1)
        place, flat = {"axis": axis}, (-1,)
    else:
        flat = ()
    name = plan.site.name
    lay = partial(_flat, builder, shape=flat)
    scale = lay(grid.scale, f"{name}_scale", np.float32)
    zero_point = lay(grid.zero_point, f"{name}_zero_point", dtype_of(kind))
    narrow = aval.dtype != np.float32
    data = builder.cast(x, np.float32) if narrow else x
    data = _clipped(builder, grid, data)
    codes = builder.op("QuantizeLinear", data, scale, zero_point, **place)
    builder.named(codes, f"{name}_quantized")
    real = builder.op("DequantizeLinear", codes, scale, zero_point, **place)
    builder.shaped(codes, tuple(aval.shape))
    builder.shaped(real, tuple(aval.shape))
    return builder.cast(real, aval.dtype) if narrow else real


def _flat(
    builder: Builder, x: Operand, name: str, dtype: Any, *, shape: tuple[int, ...]
) -> Operand:
    """Return scales or zero points as ONNX wants them."""
    if is_known(x):
        array = np.asarray(x).reshape(shape).astype(dtype)
        return builder.constant(name, array)
    x = builder.op("Reshape", x, np.asarray(shape, np.int64))
    return builder.cast(x, dtype)


def _clipped(builder: Builder, grid: Grid, x: ir.Value) -> ir.Value:
    """Return data that no code of the type beyond those of the format is for."""
    for end, kind in zip(limits_of(grid.spec.format), ("Max", "Min"), strict=True):
        if end is None:
            continue
        steps: Operand
        if is_known(grid.scale) and is_known(grid.zero_point):
            steps = (end - np.asarray(grid.zero_point)).astype(np.float32) * grid.scale
        else:
            less = builder.op("Sub", np.asarray(end, np.int32), grid.zero_point)
            steps = builder.op("Mul", builder.cast(less, np.float32), grid.scale)
        if grid.several and isinstance(grid.spec.granularity, PerBlock):
            raise QuantError(
                f"blocks of {grid.spec.format.name}, which ONNX holds in "
                f"{type_of(grid.spec.format).name}, cannot be clipped to it."
            )
        x = builder.op(kind, x, steps)
    return x
