"""Where elements lie: shapes, orders, parts and wholes."""

from typing import Any

import numpy as np

from qcore.adapters.jax.onnx.builder import Builder, Operand, is_known
from qcore.adapters.jax.onnx.codes import Codes
from qcore.adapters.jax.onnx.lowering import lowers, output_of


def reshape(builder: Builder, x: Operand, shape: tuple[int, ...]) -> Operand:
    """Return an operand in another shape."""
    shape = tuple(map(int, shape))
    if isinstance(x, Codes):
        stored = x.reshaped(shape)
        if stored is not None:
            return stored
        x = builder.dequantized(x)
    elif is_known(x):
        return np.reshape(np.asarray(x), shape)
    if x.shape is not None and tuple(x.shape) == shape:
        return x
    # A target without zeros needs no flag that says what a zero means.
    flag = {"allowzero": 1} if 0 in shape else {}
    found = builder.op("Reshape", x, np.asarray(shape, np.int64), **flag)
    return builder.shaped(found, shape)


def transpose(builder: Builder, x: Operand, axes: tuple[int, ...]) -> Operand:
    """Return an operand with its axes in another order."""
    axes = tuple(map(int, axes))
    if axes == tuple(range(len(axes))):
        return x
    if isinstance(x, Codes):
        return x.transposed(axes)
    if is_known(x):
        return np.transpose(np.asarray(x), axes)
    return builder.op("Transpose", x, perm=list(axes))


def sliced(
    builder: Builder,
    x: Operand,
    starts: list[int],
    ends: list[int],
    *,
    steps: list[int] | None = None,
    axes: list[int] | None = None,
) -> Operand:
    """Return a part of an operand."""
    axes = list(range(len(starts))) if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    lists = [np.asarray(given, np.int64) for given in (starts, ends, axes, steps)]
    return builder.op("Slice", x, *lists)


def flipped(builder: Builder, x: Operand, axes: tuple[int, ...]) -> Operand:
    """Return an operand backwards along axes."""
    if not axes:
        return x
    if is_known(x):
        return np.flip(np.asarray(x), axes)
    count = len(axes)
    lowest = np.iinfo(np.int64).min
    return sliced(
        builder,
        x,
        [-1] * count,
        [lowest] * count,
        steps=[-1] * count,
        axes=list(axes),
    )


def padded(
    builder: Builder, x: Operand, edges: list[tuple[int, int]], fill: Operand | None
) -> Operand:
    """Return an operand with more, or fewer, elements at the ends of its axes."""
    if not any(map(any, edges)):
        return x
    flat = [low for low, _ in edges] + [high for _, high in edges]
    return builder.op("Pad", x, np.asarray(flat, np.int64), fill)


@lowers("reshape", "squeeze", "expand_dims")
def _reshape(builder: Builder, equation: Any, x: Operand) -> Operand:
    if equation.params.get("dimensions") and equation.primitive.name == "reshape":
        x = transpose(builder, x, equation.params["dimensions"])
    return reshape(builder, x, output_of(equation).shape)


@lowers("transpose")
def _transpose(builder: Builder, equation: Any, x: Operand) -> Operand:
    return transpose(builder, x, equation.params["permutation"])


@lowers("broadcast_in_dim")
def _broadcast(builder: Builder, equation: Any, x: Operand, *sizes: Operand) -> Operand:
    del sizes  # of dynamic shapes, which this has not
    shape = tuple(output_of(equation).shape)
    axes = equation.params["broadcast_dimensions"]
    extents = dict(zip(axes, equation.invars[0].aval.shape, strict=True))
    thin = tuple(extents.get(axis, 1) for axis in range(len(shape)))
    x = reshape(builder, x, thin)
    return x if thin == shape else builder.broadcast(x, shape)


@lowers("concatenate")
def _concatenate(builder: Builder, equation: Any, *inputs: Operand) -> Operand:
    return builder.op("Concat", *inputs, axis=int(equation.params["dimension"]))


@lowers("stack")
def _stack(builder: Builder, equation: Any, *inputs: Operand) -> Operand:
    shape = list(output_of(equation).shape)
    axis = int(equation.params["axis"])
    shape[axis] = 1
    parts = (reshape(builder, x, tuple(shape)) for x in inputs)
    return builder.op("Concat", *parts, axis=axis)


@lowers("unstack")
def _unstack(builder: Builder, equation: Any, x: Operand) -> list[Operand]:
    axis, count = int(equation.params["axis"]), len(equation.outvars)
    parts = builder.ops("Split", count, x, np.ones(count, np.int64), axis=axis)
    return [reshape(builder, part, output_of(equation).shape) for part in parts]


@lowers("split")
def _split(builder: Builder, equation: Any, x: Operand) -> list[Operand]:
    sizes = np.asarray(equation.params["sizes"], np.int64)
    axis = int(equation.params["axis"])
    return list(builder.ops("Split", len(sizes), x, sizes, axis=axis))


@lowers("slice")
def _slice(builder: Builder, equation: Any, x: Operand) -> Operand:
    params = equation.params
    return sliced(
        builder,
        x,
        params["start_indices"],
        params["limit_indices"],
        steps=params["strides"],
    )


@lowers("rev")
def _rev(builder: Builder, equation: Any, x: Operand) -> Operand:
    return flipped(builder, x, equation.params["dimensions"])


@lowers("pad")
def _pad(builder: Builder, equation: Any, x: Operand, fill: Operand) -> Operand:
    config = equation.params["padding_config"]
    shape = list(equation.invars[0].aval.shape)
    for axis, (_, _, gap) in enumerate(config):
        if gap and shape[axis] > 1:
            x = _spread(builder, x, shape, axis, gap=int(gap), fill=fill)
            shape[axis] += (shape[axis] - 1) * int(gap)
    edges = [(int(low), int(high)) for low, high, _ in config]
    return padded(builder, x, edges, fill)


def _spread(
    builder: Builder,
    x: Operand,
    shape: list[int],
    axis: int,
    *,
    gap: int,
    fill: Operand,
) -> Operand:
    """Return an operand with some elements between any two along an axis."""
    n = shape[axis]
    before, after = shape[:axis], shape[axis + 1 :]
    x = reshape(builder, x, (*before, n, 1, *after))
    edges = [(0, 0)] * (len(shape) + 1)
    edges[axis + 1] = (0, gap)
    x = padded(builder, x, edges, fill)
    x = reshape(builder, x, (*before, n * (gap + 1), *after))
    return sliced(builder, x, [0], [n * (gap + 1) - gap], axes=[axis])


@lowers("iota")
def _iota(builder: Builder, equation: Any) -> Operand:
    shape = tuple(output_of(equation).shape)
    axis = equation.params["dimension"]
    thin = tuple(n if a == axis else 1 for a, n in enumerate(shape))
    numbers = np.arange(shape[axis]).astype(output_of(equation).dtype)
    return builder.broadcast(numbers.reshape(thin), shape)


@lowers(
    *("copy", "copy_p", "stop_gradient", "optimization_barrier", "name"),
    *("sharding_constraint", "pvary", "pcast", "reshard"),
)
def _as_it_is(builder: Builder, equation: Any, *inputs: Operand) -> list[Operand]:
    del builder, equation
    return list(inputs)
