"""What many elements of an axis become one by, or are summed along."""

from typing import Any

import numpy as np

from qcore.adapters.jax.onnx.builder import Builder, Operand
from qcore.adapters.jax.onnx.lowering import UnsupportedError, lowers, output_of

_KINDS = {
    "reduce_sum": "ReduceSum",
    "reduce_prod": "ReduceProd",
    "reduce_max": "ReduceMax",
    "reduce_min": "ReduceMin",
}

_OF_TRUTH = {"reduce_and": "ReduceMin", "reduce_or": "ReduceMax"}


@lowers(*_KINDS)
def _reduce(builder: Builder, equation: Any, x: Operand) -> Operand:
    return _reduced(builder, _KINDS[equation.primitive.name], equation, x)


@lowers(*_OF_TRUTH)
def _reduce_truth(builder: Builder, equation: Any, x: Operand) -> Operand:
    kind = _OF_TRUTH[equation.primitive.name]
    found = _reduced(builder, kind, equation, builder.cast(x, np.int32))
    return builder.cast(found, output_of(equation).dtype)


def _reduced(builder: Builder, kind: str, equation: Any, x: Operand) -> Operand:
    axes = np.asarray(equation.params["axes"], np.int64)
    # Without axes ONNX would take all of them.
    return builder.op(kind, x, axes, keepdims=0) if axes.size else x


@lowers("argmax", "argmin")
def _place(builder: Builder, equation: Any, x: Operand) -> Operand:
    kind = {"argmax": "ArgMax", "argmin": "ArgMin"}[equation.primitive.name]
    (axis,) = equation.params["axes"]
    found = builder.op(kind, x, axis=int(axis), keepdims=0)
    return builder.cast(found, output_of(equation).dtype)


@lowers("cumsum")
def _cumsum(builder: Builder, equation: Any, x: Operand) -> Operand:
    axis = np.asarray(equation.params["axis"], np.int64)
    return builder.op("CumSum", x, axis, reverse=int(equation.params["reverse"]))


@lowers("sort")
def _sort(builder: Builder, equation: Any, *inputs: Operand) -> list[Operand]:
    if equation.params["num_keys"] != 1:
        raise UnsupportedError("sorts by several keys")
    axis = int(equation.params["dimension"])
    size = np.asarray([equation.invars[0].aval.shape[axis]], np.int64)
    # Of equal elements, the first comes first.
    values, order = builder.ops("TopK", 2, inputs[0], size, axis=axis, largest=0)
    others = (
        builder.op("GatherElements", other, order, axis=axis) for other in inputs[1:]
    )
    return [values, *others]


@lowers("top_k")
def _top_k(builder: Builder, equation: Any, x: Operand) -> list[Operand]:
    axis = int(equation.params.get("axis", -1))
    size = np.asarray([equation.params["k"]], np.int64)
    values, order = builder.ops("TopK", 2, x, size, axis=axis)
    return [values, builder.cast(order, equation.outvars[1].aval.dtype)]
