"""Let codes pass where they are turned into reals and back into the same codes."""

import numpy as np
import onnx_ir as ir

from qcore.adapters.onnx.graph.constants import array_of, is_constant
from qcore.adapters.onnx.graph.encoding import integers_given, type_given, zero_point_of
from qcore.adapters.onnx.graph.operands import integer_attribute, is_standard
from qcore.formats import IntFormat

PLACES = {"axis": 1, "block_size": 0}
"""Attributes that say which codes share a scale, and their defaults."""


def skip_recoding(model: ir.Model) -> ir.Model:
    """Return the model with users of a QuantizeLinear reading the codes before.

    Only where these come out of a DequantizeLinear of the same integers, scale and zero
    point, and rounding is known to give each of them back. Operators that nobody reads
    any more stay, for `clean` to drop; so does what gives an output of the model.
    """
    for graph in model.graphs():
        for node in graph:
            codes = _given_again(node)
            if codes is not None and not node.outputs[0].is_graph_output():
                node.outputs[0].replace_all_uses_with(codes)
    return model


def _given_again(node: ir.Node) -> ir.Value | None:
    """Return the codes that a node gives once more, if it does."""
    fmt = integers_given(node)
    reals = node.inputs[0] if fmt is not None else None
    before = None if reals is None else reals.producer()
    if fmt is None or before is None or not is_standard(before, "DequantizeLinear"):
        return None
    codes = before.inputs[0]
    if codes is None or codes.dtype != type_given(node):
        return None
    return codes if _share_grid(before, node, fmt) else None


def _share_grid(dequantize: ir.Node, quantize: ir.Node, fmt: IntFormat) -> bool:
    scale, other = dequantize.inputs[1], quantize.inputs[1]
    # These let reals, or their quotients, be of another type than the scale.
    if integer_attribute(dequantize, "output_dtype", 0):
        return False
    if integer_attribute(quantize, "precision", 0):
        return False
    return (
        is_constant(scale)
        and _are_equal(scale, other)
        and _are_equal(zero_point_of(dequantize), zero_point_of(quantize))
        and all(
            integer_attribute(dequantize, *place) == integer_attribute(quantize, *place)
            for place in PLACES.items()
        )
        and _rounds_back(fmt, array_of(scale))
    )


def _are_equal(first: ir.Value | None, second: ir.Value | None) -> bool:
    """Return whether two constants are the same numbers; no zero point is 0."""
    if first is second:
        return True
    given = [value for value in (first, second) if value is not None]
    if not all(is_constant(value) for value in given):
        return False
    a, *others = map(array_of, given)
    b = others[0] if others else np.zeros_like(a)
    return a.dtype == b.dtype and np.array_equal(a, b)


def _rounds_back(fmt: IntFormat, scale: np.ndarray) -> bool:
    """Return whether rounding ``n * scale / scale`` gives each difference of codes.

    Product and quotient of normal floats are off by half an epsilon each.
    """
    if scale.dtype.kind != "f":  # bfloat16 has fewer digits than codes of 8 bits
        return False
    limits, most = np.finfo(scale.dtype), fmt.qmax - fmt.qmin
    wide = scale.astype(np.float64)
    is_normal = (wide >= float(limits.tiny)).all()
    is_finite = (wide * most <= float(limits.max)).all()
    return bool(is_normal and is_finite) and most * float(limits.eps) < 0.5
