"""Comparisons, truth, and choice by it."""

from typing import Any

import numpy as np

from qcore.adapters.jax.onnx.builder import Builder, Operand
from qcore.adapters.jax.onnx.elementwise import elementwise
from qcore.adapters.jax.onnx.lowering import lowers, output_of

_COMPARISONS = {
    "eq": "Equal",
    "ge": "GreaterOrEqual",
    "gt": "Greater",
    "le": "LessOrEqual",
    "lt": "Less",
}

_OPERATORS = {
    "and": ("And", "BitwiseAnd"),
    "or": ("Or", "BitwiseOr"),
    "xor": ("Xor", "BitwiseXor"),
    "not": ("Not", "BitwiseNot"),
}
"""Of truth, and of integers."""


@lowers(*_COMPARISONS)
def _compare(builder: Builder, equation: Any, x: Operand, y: Operand) -> Operand:
    name = equation.primitive.name
    if equation.invars[0].aval.dtype == np.bool_ and name != "eq":
        x, y = (builder.cast(operand, np.int32) for operand in (x, y))
    return elementwise(builder, _COMPARISONS[name], equation, x, y)


@lowers("ne")
def _differ(builder: Builder, equation: Any, x: Operand, y: Operand) -> Operand:
    return builder.op("Not", elementwise(builder, "Equal", equation, x, y))


@lowers(*_OPERATORS)
def _operate(builder: Builder, equation: Any, *inputs: Operand) -> Operand:
    of_truth, of_integers = _OPERATORS[equation.primitive.name]
    kind = of_truth if output_of(equation).dtype == np.bool_ else of_integers
    return elementwise(builder, kind, equation, *inputs)


@lowers("is_finite")
def _is_finite(builder: Builder, equation: Any, x: Operand) -> Operand:
    del equation
    either = builder.op("Or", builder.op("IsNaN", x), builder.op("IsInf", x))
    return builder.op("Not", either)


@lowers("select_n")
def _select(
    builder: Builder, equation: Any, which: Operand, *cases: Operand
) -> Operand:
    if equation.invars[0].aval.dtype == np.bool_:
        # The first case is that of false.
        return elementwise(builder, "Where", equation, which, *reversed(cases))
    found = cases[0]
    for number, case in enumerate(cases[1:], 1):
        chosen = builder.op("Equal", which, np.asarray(number, np.int32))
        found = builder.op("Where", chosen, case, found)
    return found
