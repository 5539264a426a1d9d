"""Products of matrices."""

from math import prod
from typing import Any

from qcore.adapters.jax.onnx.builder import Builder, Operand
from qcore.adapters.jax.onnx.codes import Codes
from qcore.adapters.jax.onnx.layout import reshape, transpose
from qcore.adapters.jax.onnx.lowering import lowers, output_of


@lowers("dot_general")
def _dot_general(
    builder: Builder, equation: Any, lhs: Operand, rhs: Operand
) -> Operand:
    contracted, batched = equation.params["dimension_numbers"]
    avals = [atom.aval for atom in equation.invars]
    free = [
        tuple(
            axis
            for axis in range(aval.ndim)
            if axis not in contracted[side] and axis not in batched[side]
        )
        for side, aval in enumerate(avals)
    ]
    sizes = [
        tuple(tuple(aval.shape[axis] for axis in axes) for axes in parts)
        for aval, parts in zip(
            avals, zip(batched, free, contracted, strict=True), strict=True
        )
    ]
    (batch, rows, summed), (_, columns, _) = sizes
    lhs, rhs = (
        as_computed(builder, *pair, equation)
        for pair in zip((lhs, rhs), avals, strict=True)
    )
    lhs = transpose(builder, lhs, (*batched[0], *free[0], *contracted[0]))
    rhs = transpose(builder, rhs, (*batched[1], *contracted[1], *free[1]))
    # Without a batch, MatMul takes any number of rows' axes as they are; those of
    # weights become one, along which their scales can lie.
    is_free = rows and not batch and not isinstance(lhs, Codes)
    lead = rows if is_free else (*batch, prod(rows))
    lhs = reshape(builder, lhs, (*lead, prod(summed)))
    rhs = reshape(builder, rhs, (*batch, prod(summed), prod(columns)))
    found = builder.shaped(builder.op("MatMul", lhs, rhs), (*lead, prod(columns)))
    return reshape(builder, found, output_of(equation).shape)


def as_computed(builder: Builder, x: Operand, aval: Any, equation: Any) -> Operand:
    """Return an operand in the dtype of the result, in which sums are made."""
    dtype = output_of(equation).dtype
    return x if aval.dtype == dtype else builder.cast(x, dtype)
