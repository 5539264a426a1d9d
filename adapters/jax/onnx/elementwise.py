"""Functions of single elements."""

from typing import Any

import numpy as np
import onnx_ir as ir

from qcore.adapters.jax.onnx.builder import Builder, Operand, is_known
from qcore.adapters.jax.onnx.lowering import UnsupportedError, lowers, output_of

_SAME = {
    "abs": "Abs",
    "acos": "Acos",
    "acosh": "Acosh",
    "add": "Add",
    "add_any": "Add",
    "asin": "Asin",
    "asinh": "Asinh",
    "atan": "Atan",
    "atanh": "Atanh",
    "ceil": "Ceil",
    "cos": "Cos",
    "cosh": "Cosh",
    "div": "Div",
    "erf": "Erf",
    "exp": "Exp",
    "floor": "Floor",
    "log": "Log",
    "logistic": "Sigmoid",
    "mul": "Mul",
    "neg": "Neg",
    "sign": "Sign",
    "sin": "Sin",
    "sinh": "Sinh",
    "sqrt": "Sqrt",
    "sub": "Sub",
    "tan": "Tan",
    "tanh": "Tanh",
}
"""Primitives that an operator computes as it is, whatever their parameters."""

_CALLS = {"max": "Max", "min": "Min"}
_BOUNDS = {"max": 1, "min": 2}
"""Where Clip takes the bound."""


def elementwise(
    builder: Builder, kind: str, equation: Any, *inputs: Operand
) -> ir.Value:
    """Return what an operator that broadcasts makes of operands."""
    shape = tuple(output_of(equation).shape)
    return builder.op(kind, *builder.unrepeated(inputs, shape))


@lowers(*_SAME)
def _same(builder: Builder, equation: Any, *inputs: Operand) -> Operand:
    kind = _SAME[equation.primitive.name]
    return elementwise(builder, kind, equation, *inputs)


@lowers("max", "min")
def _extreme(builder: Builder, equation: Any, x: Operand, y: Operand) -> Operand:
    name, dtype = equation.primitive.name, output_of(equation).dtype
    if dtype == np.bool_:
        kind = {"max": "Or", "min": "And"}[name]
        return elementwise(builder, kind, equation, x, y)
    bound, other = (x, y) if is_known(x) else (y, x)
    if not is_known(bound) or np.size(bound) != 1 or not _is_float(dtype):
        return elementwise(builder, _CALLS[name], equation, x, y)
    # With one bound for all, as runtimes look for it to merge it with a layer.
    if name == "max" and np.asarray(bound).item() == 0:
        return builder.op("Relu", other)
    bounds: list[Any] = [other, None, None]
    bounds[_BOUNDS[name]] = np.reshape(np.asarray(bound), ())
    return builder.op("Clip", *bounds[: _BOUNDS[name] + 1])


@lowers("clamp")
def _clamp(builder: Builder, equation: Any, *inputs: Operand) -> Operand:
    del equation
    lo, x, hi = inputs
    if is_known(lo) and is_known(hi) and np.size(lo) == np.size(hi) == 1:
        ends = [np.reshape(np.asarray(end), ()) for end in (lo, hi)]
        return builder.op("Clip", x, *ends)
    return builder.op("Min", builder.op("Max", x, lo), hi)


@lowers("square")
def _square(builder: Builder, equation: Any, x: Operand) -> Operand:
    del equation
    return builder.op("Mul", x, x)


@lowers("integer_pow")
def _integer_pow(builder: Builder, equation: Any, x: Operand) -> Operand:
    power = equation.params["y"]
    if power == 2:
        return builder.op("Mul", x, x)
    if power == -1:
        return builder.op("Reciprocal", x)
    return builder.op("Pow", x, _number(equation, power))


@lowers("pow")
def _pow(builder: Builder, equation: Any, x: Operand, y: Operand) -> Operand:
    return elementwise(builder, "Pow", equation, x, y)


@lowers("exp2")
def _exp2(builder: Builder, equation: Any, x: Operand) -> Operand:
    return builder.op("Pow", _number(equation, 2), x)


@lowers("rsqrt")
def _rsqrt(builder: Builder, equation: Any, x: Operand) -> Operand:
    del equation
    return builder.op("Reciprocal", builder.op("Sqrt", x))


@lowers("erfc")
def _erfc(builder: Builder, equation: Any, x: Operand) -> Operand:
    return builder.op("Sub", _number(equation, 1), builder.op("Erf", x))


@lowers("log1p")
def _log1p(builder: Builder, equation: Any, x: Operand) -> Operand:
    # Kahan: what 1 + x lost of x, log(1 + x) lost in the same ratio.
    one = _number(equation, 1)
    u = builder.op("Add", one, x)
    ratio = builder.op("Div", x, builder.op("Sub", u, one))
    near = builder.op("Mul", builder.op("Log", u), ratio)
    near = builder.op("Where", builder.op("Equal", u, one), x, near)
    return _near_zero(builder, one, x, near, builder.op("Log", u))


@lowers("expm1")
def _expm1(builder: Builder, equation: Any, x: Operand) -> Operand:
    one = _number(equation, 1)
    u = builder.op("Exp", x)
    less = builder.op("Sub", u, one)
    near = builder.op("Mul", less, builder.op("Div", x, builder.op("Log", u)))
    near = builder.op("Where", builder.op("Equal", u, one), x, near)
    return _near_zero(builder, one, x, near, less)


def _near_zero(
    builder: Builder, one: Any, x: Operand, near: ir.Value, far: ir.Value
) -> ir.Value:
    """Return one thing where the magnitude of `x` is below 1, else the other."""
    return builder.op("Where", builder.op("Less", builder.op("Abs", x), one), near, far)


@lowers("rem")
def _rem(builder: Builder, equation: Any, x: Operand, y: Operand) -> Operand:
    # With the sign of the dividend, as C has it.
    thin = builder.unrepeated((x, y), tuple(output_of(equation).shape))
    return builder.op("Mod", *thin, fmod=1)


@lowers("round")
def _round(builder: Builder, equation: Any, x: Operand) -> Operand:
    if equation.params["rounding_method"].name == "TO_NEAREST_EVEN":
        return builder.op("Round", x)
    half, one = _number(equation, 0.5), _number(equation, 1)
    size = builder.op("Abs", x)
    whole = builder.op("Floor", size)
    up = builder.op("GreaterOrEqual", builder.op("Sub", size, whole), half)
    rounded = builder.op("Where", up, builder.op("Add", whole, one), whole)
    return builder.op("Mul", builder.op("Sign", x), rounded)


@lowers("jit qcore_division")
def _division(builder: Builder, equation: Any, x: Operand, y: Operand) -> Operand:
    # Of `qcore.backends.jax`: what XLA must be told, Div is.
    return elementwise(builder, "Div", equation, x, y)


@lowers("convert_element_type")
def _convert(builder: Builder, equation: Any, x: Operand) -> Operand:
    if equation.invars[0].aval.dtype == output_of(equation).dtype:
        return x
    return builder.cast(x, output_of(equation).dtype)


@lowers("reduce_precision")
def _reduce_precision(builder: Builder, equation: Any, x: Operand) -> Operand:
    del builder
    widths = equation.params["exponent_bits"], equation.params["mantissa_bits"]
    if output_of(equation).dtype != np.float32 or widths != (8, 23):
        raise UnsupportedError(f"rounds to {widths} bits of exponent and mantissa")
    return x


def _number(equation: Any, value: float) -> Any:
    """Return a number in the dtype of an equation's result."""
    return np.asarray(value, output_of(equation).dtype)


def _is_float(dtype: Any) -> bool:
    return np.dtype(dtype) in (np.float32, np.float64, np.float16)
