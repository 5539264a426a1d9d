"""Tables whose rows are looked up in codes and turned into reals afterwards."""

from typing import NamedTuple

import onnx_ir as ir

from qcore.adapters.onnx.graph.code_operators import Coded, coded, operand
from qcore.adapters.onnx.graph.constants import is_constant
from qcore.adapters.onnx.graph.operands import is_standard
from qcore.adapters.onnx.inspection.scale_behind import only_user, other_operand


class Lookup(NamedTuple):
    """A table of codes, and the constants that tell what these stand for."""

    table: ir.Value
    scale: ir.Value | None
    zero_point: ir.Value | None


def lookup_of(node: ir.Node) -> Lookup | None:
    """Return what a node looks up, if those are codes.

    Rows go into a DequantizeLinear or, as `look_up_codes` writes it, a Cast, maybe a
    Sub, and a Mul, whose factor is looked up itself where each row has its own.
    """
    table = node.inputs[0] if is_standard(node, "Gather") else None
    if not is_constant(table):
        return None
    decoder = only_user(node, "DequantizeLinear")
    if decoder is not None:
        (place,) = coded(decoder)
        return Lookup(table, *_told(decoder, place))
    if table.dtype is None or not table.dtype.is_integer():
        return None
    last, zero_point = only_user(node, "Cast"), None
    shift = None if last is None else only_user(last, "Sub")
    if last is not None and shift is not None:
        last, zero_point = shift, other_operand(last, "Sub")
    scale = None if last is None else other_operand(last, "Mul")
    maker = None if scale is None else scale.producer()
    if maker is not None and is_standard(maker, "Gather"):
        scale = maker.inputs[0]
    return Lookup(table, scale, zero_point) if is_constant(scale) else None


def _told(node: ir.Node, place: Coded) -> tuple[ir.Value | None, ir.Value | None]:
    return operand(node, place.scale), operand(node, place.zero_point)
