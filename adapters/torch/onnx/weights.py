"""Weights stored as the codes that the graph would make of them."""

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import (
    LiftConstantsToInitializersPass,
    RemoveUnusedNodesPass,
)
from onnxscript.optimizer import fold_constants_ir

from qcore import PerBlock, PerChannel, PerTensor, QParams, QuantSpec, quantize
from qcore.adapters.onnx.graph.constants import add_constant, array_of, is_constant
from qcore.adapters.onnx.graph.names import Names
from qcore.formats import FloatFormat, parse_format
from qcore.granularity import Granularity

_ON_THE_WAY = ("Cast", "Concat", "Max", "Min", "Mul", "Reshape", "Transpose")
"""What quantizers and layers do to weights before they are quantized."""


def store_codes(model: ir.Model, /) -> None:
    """Put the codes of constants in the place of the nodes that quantize them."""
    # onnxscript leaves large tensors alone unless told to fold them.
    fold_constants_ir(
        model, should_fold=lambda node: True if node.op_type in _ON_THE_WAY else None
    )
    LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    graph = model.graph
    names = Names(graph)
    for node in [node for node in graph if node.op_type == "QuantizeLinear"]:
        weight = node.inputs[0]
        if is_constant(weight):
            name = f"{weight.name}_quantized"
            codes = add_constant(graph, names, name, _codes(node, array_of(weight)))
            node.outputs[0].replace_all_uses_with(codes)
            graph.remove(node, safe=True)
    RemoveUnusedNodesPass()(model)


def _codes(node: ir.Node, weight: np.ndarray) -> np.ndarray:
    """Return what a QuantizeLinear node makes of a constant."""
    scale = _input(node, 1)
    if len(node.inputs) > 2:
        zero_point = _input(node, 2)
    else:
        kind = ir.DataType(node.attributes.get_int("output_dtype"))
        zero_point = np.zeros(scale.shape, kind.numpy())
    stored = zero_point.dtype
    zero_point = zero_point.astype(np.int32)
    fmt = parse_format(stored.name)
    axis = node.attributes.get_int("axis", 1)
    granularity: Granularity = PerTensor()
    if size := node.attributes.get_int("block_size", 0):
        granularity = PerBlock(axis, size)
    elif scale.ndim:
        granularity = PerChannel(axis)
        shape = granularity.scale_shape(weight.shape)
        scale, zero_point = scale.reshape(shape), zero_point.reshape(shape)
    spec = QuantSpec(fmt, granularity, symmetric=not zero_point.any())
    qparams = QParams(scale, zero_point, spec)
    codes: np.ndarray = quantize(weight.astype(np.float32), qparams)
    if isinstance(fmt, FloatFormat):  # codes are bit patterns, a byte each
        return codes.view(stored)
    return codes.astype(stored)


def _input(node: ir.Node, index: int) -> np.ndarray:
    value = node.inputs[index]
    assert is_constant(value)
    return array_of(value)
