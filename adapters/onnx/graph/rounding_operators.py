"""What `qcore.fake_quantize` does, in standard operators on floats.

For formats that no runtime holds. Steps are those of `qcore.affine`, of
`qcore.minifloat` and of `qcore.scale_formats`, on operators that are exact or rounded
as they are there: the numbers are the same, bit for bit. What is looked up in tables
there is found by halving here: a power of two grows by powers of two, as long as
comparisons allow it.
"""

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from qcore import QParams, QuantSpec
from qcore.adapters.onnx.graph.float_operators import FloatOperators, Operand
from qcore.arithmetic import TINY
from qcore.errors import QuantError
from qcore.formats import FloatFormat, IntFormat, parse_format
from qcore.granularity import PerBlock
from qcore.scale_formats import GLOBAL_RANGE
from qcore.spec import E4M3, E8M0

_LAST = 127
"""Exponent of the largest power of two in float32."""


def check_spec(spec: QuantSpec, /) -> None:
    """Raise QuantError if these operators cannot do what a spec says."""
    if spec.rounding != "half_even":
        raise QuantError(
            f"`rounding` must be 'half_even', as ONNX has it; got {spec.rounding!r}."
        )
    if isinstance(spec.granularity, PerBlock) and not (
        spec.symmetric and spec.scale_rounding is None and spec.scale_format
    ):
        raise QuantError(
            "blocks of activations must be symmetric, with scales of a format that are "
            f"rounded as by default; got {spec}."
        )


def fake_quantized(op: FloatOperators, x: ir.Value, qparams: QParams) -> ir.Value:
    """Return a tensor rounded to what its codes stand for; there is one scale."""
    scale = np.asarray(qparams.scale, np.float32)
    data = _widened(op, x)
    real = _rounded(op, data, scale, float(qparams.zero_point), qparams.spec)
    return _narrowed(op, real, x)


def fake_quantized_in_blocks(
    op: FloatOperators, x: ir.Value, spec: QuantSpec, axis: int
) -> ir.Value:
    """Return a tensor rounded in blocks along an axis, whose scales hold its values.

    Raises
    ------
    QuantError
        If the rank of the tensor or its length along the axis is unknown.
    """
    assert isinstance(spec.granularity, PerBlock)
    length = None if x.shape is None else x.shape[axis]
    if x.shape is None or not isinstance(length, int):
        raise QuantError(
            f"{x.name!r} must have a rank and, along axis {axis}, a length that the "
            f"model tells, to be cut into blocks; got {x.shape}."
        )
    rank, size = len(x.shape), spec.granularity.size
    order = [*(i for i in range(rank) if i != axis % rank), axis % rank]
    turns = order != sorted(order)
    kept = [0] * (rank - 1)  # as long as they are
    data = _widened(op, x)
    if turns:
        data = op("Transpose", data, perm=order)
    if padding := -length % size:
        ends = [0] * (2 * rank - 1) + [padding]
        data = op("Pad", data, ends)
    blocks = op("Reshape", data, [*kept, -(-length // size), size])
    amax = op.largest(op("Abs", blocks), [rank])
    scale = _powers_of_two if spec.scale_format == E8M0 else _two_levels
    real = _rounded(op, blocks, scale(op, amax, spec), 0.0, spec)
    real = op("Reshape", real, [*kept, length + padding])
    if padding:
        real = op("Slice", real, [0], [length], [rank - 1])
    if turns:
        real = op("Transpose", real, perm=[int(axis) for axis in np.argsort(order)])
    return _narrowed(op, real, x)


def _widened(op: FloatOperators, x: ir.Value) -> ir.Value:
    if x.dtype == ir.DataType.FLOAT:
        return x
    return op("Cast", x, to=ir.DataType.FLOAT)


def _narrowed(op: FloatOperators, real: ir.Value, like: ir.Value) -> ir.Value:
    if like.dtype not in {None, ir.DataType.FLOAT}:
        real = op("Cast", real, to=like.dtype)
    real.type, real.shape = like.type, like.shape
    return real


def _rounded(
    op: FloatOperators,
    x: ir.Value,
    scale: Operand,
    zero_point: float,
    spec: QuantSpec,
) -> ir.Value:
    quotient = op("Div", x, scale)
    if isinstance(spec.format, FloatFormat):
        return op("Mul", _to_float_format(op, quotient, spec.format), scale)
    codes = op("Round", quotient)
    ends = float(spec.format.qmin), float(spec.format.qmax)
    if zero_point:
        codes = op("Add", codes, zero_point)
    codes = op("Clip", codes, *ends)
    if zero_point:
        codes = op("Sub", codes, zero_point)
    return op("Mul", codes, scale)


def _to_float_format(op: FloatOperators, x: ir.Value, fmt: FloatFormat) -> ir.Value:
    """Return the numbers of a format that `x` is rounded to, saturated."""
    magnitude = op("Clip", op("Abs", x), 0.0, fmt.max)
    first = fmt.min_exponent
    binades = fmt.max_code >> fmt.mantissa  # that of subnormal numbers is one of these

    def reached(power: Operand) -> ir.Value:
        return op("GreaterOrEqual", magnitude, power)

    power = _grown(op, 2.0**first, binades - 1, reached)
    spacing = op("Mul", power, 2.0**-fmt.mantissa)
    nearest = op("Mul", op("Round", op("Div", magnitude, spacing)), spacing)
    return op("Where", op("Less", x, 0.0), op("Neg", nearest), nearest)


def _grown(
    op: FloatOperators, first: float, most: int, reached: Callable[[Operand], ir.Value]
) -> ir.Value:
    """Return the largest power of two, `first` or up to `most` higher, that is reached.

    What is reached must be one after the other, from the lowest on.
    """
    power: float | ir.Value = first
    for step in _steps(most):
        candidate = (
            power * 2.0**step
            if isinstance(power, float)
            else op("Mul", power, 2.0**step)
        )
        power = op("Where", reached(candidate), candidate, power)
    assert isinstance(power, ir.Value)
    return power


def _steps(most: int) -> list[int]:
    """Return powers of two, falling, whose sums are all numbers up to `most` at least.

    None is above 64: products with it must be finite.
    """
    steps = [64] * (most // 64)
    return [*steps, *(2**i for i in reversed(range((most % 64).bit_length())))]


def _powers_of_two(op: FloatOperators, amax: ir.Value, spec: QuantSpec) -> ir.Value:
    """Return the least powers of two with which nothing saturates."""
    fmt = spec.format
    last = _LAST - (fmt.bits - 2 if isinstance(fmt, IntFormat) else 0)

    def exceeded(power: Operand) -> ir.Value:
        half = power * 0.5 if isinstance(power, float) else op("Mul", power, 0.5)
        return op("Greater", amax, op("Mul", half, float(fmt.max)))

    scale = _grown(op, TINY, last + 126, exceeded)
    scale = op("Min", scale, 2.0**last)
    return op("Where", op("Less", amax, TINY), 1.0, scale)


def _two_levels(op: FloatOperators, amax: ir.Value, spec: QuantSpec) -> ir.Value:
    """Return float8_e4m3fn numbers times one number for all."""
    numbers = parse_format(E4M3)
    assert isinstance(numbers, FloatFormat)
    top = float(spec.format.max)
    largest = op.largest(amax)
    whole = op("Div", largest, top * numbers.max)
    whole = op("Where", op("Less", largest, TINY), 1.0, whole)
    whole = op("Clip", whole, *GLOBAL_RANGE)
    part = op("Div", amax, op("Mul", whole, top))
    part = op("Max", _to_float_format(op, part, numbers), numbers.magnitudes[1])
    part = op("Where", op("Less", amax, TINY), 1.0, part)
    return op("Mul", part, whole)
