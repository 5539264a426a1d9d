"""Convolutions in any layout, and those that spread their input: transposed ones."""

from typing import Any

from qcore.adapters.jax.onnx.builder import Builder, Operand
from qcore.adapters.jax.onnx.layout import (
    flipped,
    padded,
    reshape,
    sliced,
    transpose,
)
from qcore.adapters.jax.onnx.lowering import UnsupportedError, lowers, output_of
from qcore.adapters.jax.onnx.products import as_computed


@lowers("conv_general_dilated")
def _convolution(
    builder: Builder, equation: Any, x: Operand, kernel: Operand
) -> Operand:
    params = equation.params
    specs = params["dimension_numbers"]
    if params["batch_group_count"] != 1:
        raise UnsupportedError("has groups of its batch")
    of_x, of_kernel = (atom.aval for atom in equation.invars)
    x = as_computed(builder, x, of_x, equation)
    kernel = as_computed(builder, kernel, of_kernel, equation)
    # ONNX has batch, channels, space; and output channels, input channels, space.
    x = transpose(builder, x, specs.lhs_spec)
    kernel = transpose(builder, kernel, specs.rhs_spec)
    sizes = [of_kernel.shape[axis] for axis in specs.rhs_spec]
    spread = any(n != 1 for n in params["lhs_dilation"])
    convolve = _transposed if spread else _plain
    found = convolve(builder, params, x, kernel, sizes)
    order = sorted(range(len(specs.out_spec)), key=lambda axis: specs.out_spec[axis])
    shape = tuple(output_of(equation).shape)
    builder.shaped(found, tuple(shape[axis] for axis in specs.out_spec))
    return transpose(builder, found, tuple(order))


def _plain(
    builder: Builder, params: Any, x: Operand, kernel: Operand, sizes: list[int]
) -> Any:
    _, _, *space = sizes
    edges = [(int(low), int(high)) for low, high in params["padding"]]
    # Conv does not cut elements off.
    cut = [(min(low, 0), min(high, 0)) for low, high in edges]
    x = padded(builder, x, [(0, 0), (0, 0), *cut], None)
    return builder.op(
        "Conv",
        x,
        kernel,
        dilations=list(params["rhs_dilation"]),
        group=params["feature_group_count"],
        kernel_shape=space,
        pads=[max(edge, 0) for ends in zip(*edges, strict=True) for edge in ends],
        strides=list(params["window_strides"]),
    )


def _transposed(
    builder: Builder, params: Any, x: Operand, kernel: Operand, sizes: list[int]
) -> Any:
    """Return the convolution of what has zeros between its elements.

    ConvTranspose adds the kernel up, unflipped, at places that lie a stride apart; all
    it gives is what is left of ``dilation * (n - 1)`` zeros at each end.
    """
    groups = params["feature_group_count"]
    wanted, given, *space = sizes
    axes = tuple(range(2, 2 + len(space)))
    if groups == 1:
        kernel = transpose(builder, kernel, (1, 0, *axes))
    else:
        each = wanted // groups
        kernel = reshape(builder, kernel, (groups, each, given, *space))
        kernel = transpose(builder, kernel, (0, 2, 1, *(axis + 1 for axis in axes)))
        kernel = reshape(builder, kernel, (groups * given, each, *space))
    kernel = flipped(builder, kernel, axes)
    edges = [
        (d * (n - 1) - int(low), d * (n - 1) - int(high))
        for (low, high), d, n in zip(
            params["padding"], params["rhs_dilation"], space, strict=True
        )
    ]
    found = builder.op(
        "ConvTranspose",
        x,
        kernel,
        dilations=list(params["rhs_dilation"]),
        group=groups,
        kernel_shape=space,
        pads=[max(edge, 0) for ends in zip(*edges, strict=True) for edge in ends],
        strides=list(params["lhs_dilation"]),
    )
    more = [(max(-low, 0), max(-high, 0)) for low, high in edges]
    found = padded(builder, found, [(0, 0), (0, 0), *more], None)
    strides = list(params["window_strides"])
    if any(n != 1 for n in strides):
        last = [2**31 - 1] * len(strides)
        found = sliced(
            builder, found, [0] * len(strides), last, steps=strides, axes=list(axes)
        )
    return found
