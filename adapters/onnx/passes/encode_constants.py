"""Store the codes of constants instead of quantizing these as the model runs."""

import numpy as np
import onnx_ir as ir

from qcore import PerChannel, PerTensor, QParams, QuantSpec, quantize
from qcore.adapters.onnx.graph.constants import add_constant, array_of, is_constant
from qcore.adapters.onnx.graph.encoding import integers_given, zero_point_of
from qcore.adapters.onnx.graph.names import Names
from qcore.adapters.onnx.graph.nodes import dtype_of
from qcore.adapters.onnx.graph.operands import integer_attribute
from qcore.formats import IntFormat
from qcore.granularity import Granularity


def encode_constants(model: ir.Model) -> ir.Model:
    """Return the model with constants in codes where it quantizes them.

    Constants of 32 bits to integers, that is, with scales per tensor or per channel:
    what models trained with quantized weights have. What gives an output of the model
    stays.
    """
    names = Names(model.graph)
    for graph in model.graphs():
        for node in list(graph):
            fmt = integers_given(node)
            codes = None if fmt is None else _codes(node, fmt)
            if codes is not None and not node.outputs[0].is_graph_output():
                given = node.outputs[0]
                constant = add_constant(graph, names, f"{given.name}_codes", codes)
                given.replace_all_uses_with(constant)
    return model


def _codes(node: ir.Node, fmt: IntFormat) -> np.ndarray | None:
    """Return what a node gives, if that is known now."""
    x, scale, zero_point = *node.inputs[:2], zero_point_of(node)
    if not (is_constant(x) and is_constant(scale)):
        return None
    if not (zero_point is None or is_constant(zero_point)):
        return None
    if any(integer_attribute(node, name, 0) for name in ("block_size", "precision")):
        return None
    values, scales = array_of(x), array_of(scale)
    if {values.dtype, scales.dtype} != {np.dtype(np.float32)}:
        return None
    if not (np.isfinite(scales) & (scales >= np.finfo(np.float32).tiny)).all():
        return None
    axis = integer_attribute(node, "axis", 1)
    granularity: Granularity = PerTensor()
    shape = [1] * values.ndim
    if scales.size > 1:
        granularity, shape[axis] = PerChannel(axis), scales.size
    zeros = np.zeros(scales.shape) if zero_point is None else array_of(zero_point)
    qparams = QParams(
        scales.reshape(shape),
        zeros.astype(np.int32).reshape(shape),
        QuantSpec(fmt, granularity, symmetric=False),
    )
    return np.asarray(quantize(values, qparams)).astype(dtype_of(fmt))
