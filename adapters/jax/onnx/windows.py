"""Sums and extremes over windows that slide: pooling."""

from math import prod
from typing import Any

import numpy as np

from qcore.adapters.jax.onnx.builder import Builder, Operand
from qcore.adapters.jax.onnx.layout import padded, reshape, transpose
from qcore.adapters.jax.onnx.lowering import UnsupportedError, lowers, output_of

_MOST = 3
"""Axes along which the pools of ONNX Runtime slide."""


@lowers("reduce_window_max", "reduce_window_min", "reduce_window_sum")
def _reduce_window(builder: Builder, equation: Any, x: Operand) -> Operand:
    params, shape = equation.params, tuple(equation.invars[0].aval.shape)
    if any(n != 1 for n in params["base_dilation"]):
        raise UnsupportedError("spreads its operand")
    spatial = [
        axis
        for axis, moves in enumerate(
            zip(
                params["window_dimensions"],
                params["window_strides"],
                params["padding"],
                strict=True,
            )
        )
        if moves != (1, 1, (0, 0))
    ]
    rest = [axis for axis in range(len(shape)) if axis not in spatial]
    if not spatial:
        return x
    if len(spatial) > _MOST:
        raise UnsupportedError(f"slides along {len(spatial)} axes")
    # ONNX has batch, channels, space; what does not slide may be any of the first two.
    order = (*rest, *spatial)
    kept = tuple(shape[axis] for axis in rest)
    outer = kept if len(kept) == 2 else (1, prod(kept))
    x = transpose(builder, x, order)
    x = reshape(builder, x, (*outer, *(shape[axis] for axis in spatial)))
    found = _pooled(builder, equation, x, spatial)
    result = tuple(output_of(equation).shape)
    builder.shaped(found, (*outer, *(result[axis] for axis in spatial)))
    found = reshape(builder, found, tuple(result[axis] for axis in order))
    back = sorted(range(len(order)), key=lambda place: order[place])
    return transpose(builder, found, tuple(back))


def _pooled(builder: Builder, equation: Any, x: Operand, spatial: list[int]) -> Any:
    params = equation.params

    def along(name: str) -> list[Any]:
        return [params[name][axis] for axis in spatial]

    edges = [(int(low), int(high)) for low, high in along("padding")]
    attributes = {
        "kernel_shape": list(map(int, along("window_dimensions"))),
        "strides": list(map(int, along("window_strides"))),
    }
    dilations = list(map(int, along("window_dilation")))
    if any(n != 1 for n in dilations):
        attributes["dilations"] = dilations
    if equation.primitive.name == "reduce_window_sum":
        if "dilations" in attributes and builder.opset < 19:
            raise UnsupportedError("has a dilated window, which needs opset 19")
        x = padded(builder, x, [(0, 0), (0, 0), *edges], None)
        mean = builder.op("AveragePool", x, **attributes)
        count = np.asarray(prod(attributes["kernel_shape"]), output_of(equation).dtype)
        return builder.op("Mul", mean, count)
    attributes["pads"] = [edge for ends in zip(*edges, strict=True) for edge in ends]
    if equation.primitive.name == "reduce_window_max":
        return builder.op("MaxPool", x, **attributes)
    lowest = builder.op("MaxPool", builder.op("Neg", x), **attributes)
    return builder.op("Neg", lowest)
