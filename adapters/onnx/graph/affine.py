"""What scales and shifts each channel of a tensor by constants."""

from typing import NamedTuple

import numpy as np
import onnx_ir as ir

from qcore.adapters.onnx.graph.constants import array_of, is_constant
from qcore.adapters.onnx.graph.operands import float_attribute, is_standard, per_channel

_ARITHMETIC = ("Add", "Div", "Mul", "Sub")


class Affine(NamedTuple):
    """Scale and shift of each channel, ``[channels]`` both."""

    scale: np.ndarray
    shift: np.ndarray


def scaled_value(node: ir.Node) -> ir.Value | None:
    """Return what a node scales and shifts by constants, if that is what it does."""
    constants = [value for value in node.inputs if is_constant(value)]
    if is_standard(node, "BatchNormalization"):
        return node.inputs[0] if len(constants) == 4 else None
    if not is_standard(node, *_ARITHMETIC) or len(constants) != 1:
        return None
    # A constant divided by a tensor is no affine map of it.
    index = 1 if is_constant(node.inputs[0]) else 0
    return None if node.op_type == "Div" and index else node.inputs[index]


def affine_of(node: ir.Node, channels: int, spatial: int) -> Affine | None:
    """Return the affine map of a node that has a `scaled_value`.

    Parameters
    ----------
    node : Node
        It.
    channels, spatial : int
        The number of channels, and of the axes behind them.

    Returns
    -------
    Affine or None
        ``None`` if it differs along other axes than that of the channels.
    """
    constants = [array_of(value) for value in node.inputs if is_constant(value)]
    if node.op_type == "BatchNormalization":
        return _normalization(node, constants)
    values = per_channel(constants[0], channels, spatial)
    if values is None:
        return None
    one, zero = np.ones_like(values), np.zeros_like(values)
    if node.op_type == "Add":
        return Affine(one, values)
    if node.op_type == "Mul":
        return Affine(values, zero)
    if node.op_type == "Sub":
        return (
            Affine(-one, values)
            if is_constant(node.inputs[0])
            else Affine(one, -values)
        )
    return Affine(one / values, zero) if values.all() else None


def _normalization(node: ir.Node, parameters: list[np.ndarray]) -> Affine:
    gamma, beta, mean, variance = parameters
    # In the type of the model: a float32 would turn the weights of a float16 one too.
    epsilon = variance.dtype.type(float_attribute(node, "epsilon", 1e-5))
    scale = gamma / np.sqrt(variance + epsilon)
    return Affine(scale, beta - mean * scale)
