"""The constants that the nodes of a plan multiply by and add."""

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import onnx_ir as ir

from qcore import IntFormat, PerChannel, PerTensor, QParams, QuantSpec
from qcore.adapters.onnx.graph.constants import array_of, extents_of, is_constant
from qcore.adapters.onnx.graph.operands import (
    bias,
    bias_values,
    channel_axis,
    weight_index,
)
from qcore.adapters.onnx.graph.tensors import HALVES
from qcore.adapters.onnx.planning.plan import Plan
from qcore.adapters.onnx_formats import format_of
from qcore.adapters.ppq.config import BiasQParams

BIAS = 2
"""Which operand of a product is its bias."""


class Parameter(NamedTuple):
    """A weight or a bias.

    Attributes
    ----------
    value : Value
        The constant.
    node : str
        What reads it.
    place : int
        As which operand.
    axis : int or None
        That of the output channels of a weight, if each has its own scale.
    takes_codes : bool
        Whether it can be held in codes.
    """

    value: ir.Value
    node: str
    place: int
    axis: int | None
    takes_codes: bool = True


def parameters(graph: ir.Graph, plan: Plan) -> Iterator[Parameter]:
    """Yield the constants of the products of a plan, weights before their biases."""
    for node in graph.all_nodes():
        if node.name not in plan.compute:
            continue
        index, addend = weight_index(node), bias(node)
        kernel = None if index is None else node.inputs[index]
        if index is None or kernel is None:
            continue
        yield Parameter(kernel, str(node.name), index, channel_axis(node))
        if is_constant(addend):
            able = bias_values(node) is not None and kernel.dtype not in HALVES
            yield Parameter(addend, str(node.name), BIAS, None, able)


def weight_spec(codes: str, parameter: Parameter) -> QuantSpec:
    """Return how a weight is quantized, given the format of its codes."""
    axis = parameter.axis
    return QuantSpec(codes, PerTensor() if axis is None else PerChannel(axis))


def scales_read(node: ir.Node, parameter: Parameter) -> QParams | BiasQParams | None:
    """Return what a constant's codes stand for, where a node reads such.

    Parameters
    ----------
    node : Node
        Of the model with codes.
    parameter : Parameter
        Of the float one.
    """
    operand = node.inputs[parameter.place]
    reader = None if operand is None else operand.producer()
    if reader is None or reader.op_type != "DequantizeLinear":
        return None
    codes, scale, *zeros = [array_of(x) for x in reader.inputs if x is not None]
    scale = scale.astype(np.float32)
    zero = zeros[0].astype(np.int32) if zeros else np.zeros(scale.shape, np.int32)
    if parameter.place == BIAS:
        return BiasQParams(scale, zero)
    spec = weight_spec("int8", parameter)
    held = format_of(int(ir.DataType.from_numpy(codes.dtype)))
    assert held is not None  # qcore wrote it
    is_middle = isinstance(held, IntFormat) and not held.signed
    spec = replace(spec, format=held, symmetric=not is_middle)
    if scale.ndim and parameter.axis is not None:
        extents = np.ones(len(extents_of(parameter.value)), int)
        extents[parameter.axis] = scale.size
        scale, zero = scale.reshape(extents), zero.reshape(extents)
    else:
        spec = replace(spec, granularity=PerTensor())
    return QParams(scale, zero, spec)
