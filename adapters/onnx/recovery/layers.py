"""The layers of a quantized graph: products by weights in codes."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from qcore import FloatFormat, PerBlock, PerChannel, PerTensor, QParams, QuantSpec
from qcore.adapters.onnx.graph.constants import array_of, extents_of, is_constant
from qcore.adapters.onnx.graph.operands import PRODUCTS, integer_attribute, is_standard
from qcore.adapters.onnx_formats import format_of
from qcore.granularity import Granularity


@dataclass(frozen=True)
class Decoded:
    """What a DequantizeLinear reads.

    Attributes
    ----------
    codes : Value
        Constant or not.
    qparams : QParams
        What they stand for; scales of blocks or along an axis, or one.
    """

    codes: ir.Value
    qparams: QParams


@dataclass(frozen=True)
class Layer:
    """A product by a weight in codes.

    Attributes
    ----------
    node : Node
        The operator.
    x : Value
        Its input, in integer codes if it has such.
    qparams : QParams or None
        What these stand for.
    weight : Decoded
        The constant that the input is multiplied by.
    """

    node: ir.Node
    x: ir.Value
    qparams: QParams | None
    weight: Decoded

    @property
    def name(self) -> str:
        """The name of the node, which the float model has, too."""
        return str(self.node.name)


def layers(graph: ir.Graph) -> Iterator[Layer]:
    """Yield the products by a constant in codes, in the order of the graph.

    But for stacks of matrices, each of which would want inputs of its own, and inputs
    whose first axis is summed over. Codes of float8 have no sums that are exact: for
    these, inputs are what they stand for.
    """
    for node in graph:
        if not is_standard(node, *PRODUCTS):
            continue
        x, (coded, weight) = node.inputs[0], map(decoded, node.inputs[:2])
        if x is None or weight is None or not is_constant(weight.codes):
            continue
        if node.op_type == "MatMul" and len(extents_of(weight.codes)) != 2:
            continue
        if node.op_type == "Gemm" and integer_attribute(node, "transA", 0):
            continue
        if coded is None or isinstance(coded.qparams.spec.format, FloatFormat):
            yield Layer(node, x, None, weight)
        elif not is_constant(coded.codes) and coded.qparams.scale.size == 1:
            yield Layer(node, coded.codes, coded.qparams, weight)


def decoded(value: ir.Value | None) -> Decoded | None:
    """Return what stands behind a tensor, if that are codes with constant scales."""
    reader = None if value is None else value.producer()
    if reader is None or not is_standard(reader, "DequantizeLinear"):
        return None
    codes, scale, zero_point, *_ = (*reader.inputs, None)
    if codes is None or codes.dtype is None or not is_constant(scale):
        return None
    fmt = format_of(codes.dtype.value)
    if fmt is None:
        return None
    scales = array_of(scale).astype(np.float32)
    zeros = np.zeros(scales.shape, np.int32)
    if zero_point is not None:
        zeros = array_of(zero_point).astype(np.int32)
    axis = integer_attribute(reader, "axis", 1)
    granularity: Granularity = PerTensor()
    if size := integer_attribute(reader, "block_size", 0):
        granularity = PerBlock(axis, size)
    elif scales.ndim:
        granularity = PerChannel(axis)
        shape = [1] * (0 if codes.shape is None else len(codes.shape))
        shape[axis] = -1
        scales, zeros = scales.reshape(shape), zeros.reshape(shape)
    spec = QuantSpec(fmt, granularity, symmetric=not zeros.any())
    return Decoded(codes, QParams(scales, zeros, spec))
