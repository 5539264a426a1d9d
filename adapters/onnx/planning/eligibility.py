"""Whether an operator can compute in 8 bits, and if not, why."""

from collections.abc import Callable
from types import MappingProxyType
from typing import TypeAlias

import onnx_ir as ir

from qcore.adapters.onnx.graph.bodies import Enclosing, graph_of, passed_on
from qcore.adapters.onnx.graph.clamps import after_clamp
from qcore.adapters.onnx.graph.constants import is_constant
from qcore.adapters.onnx.graph.operands import (
    COMPUTE,
    MATRICES,
    activations,
    bias,
    bias_values,
    has_holes,
    has_unit_factors,
    integer_attribute,
    is_standard,
    weight,
    weight_index,
)
from qcore.adapters.onnx.graph.tensors import FLOATS
from qcore.adapters.onnx.targets import Target

Reason: TypeAlias = str | None
_Checks: TypeAlias = tuple[Callable[[ir.Node], Reason], ...]


def why_float(
    node: ir.Node, target: Target, enclosing: Enclosing = MappingProxyType({})
) -> Reason:
    """Return why a product cannot compute in 8 bits, or ``None``.

    Bodies are told by `enclosing`, of the whole graph.
    """
    special = _OF_ONNXRUNTIME if target.carries else _OF_OTHERS
    if target.mode == "dynamic":
        special = _OF_DYNAMIC
    checks = (*_CHECKS, *special)
    reason = next((reason for check in checks if (reason := check(node))), None)
    if reason is None and target.carries and not target.answers:
        return _answer(node, enclosing)
    return reason


def _type(node: ir.Node) -> Reason:
    types = {value.dtype for value in node.inputs[:2] if value is not None}
    names = {dtype.name.lower() for dtype in types if dtype is not None}
    if not names:
        return "the type of its inputs is unknown"
    others = names - {dtype.name.lower() for dtype in FLOATS}
    return f"its inputs are {min(others)}" if others else None


def _weight(node: ir.Node) -> Reason:
    if node.op_type in MATRICES or weight(node) is not None:
        return None
    return "its weight is not a constant"


def _operands(node: ir.Node) -> Reason:
    if any(map(is_constant, activations(node))):
        return "its input is a constant"
    return None if activations(node) else "its operands are constants"


def _floats(node: ir.Node) -> Reason:
    is_float = node.inputs[0] is not None and node.inputs[0].dtype == ir.DataType.FLOAT
    return None if is_float else "ONNX finds scales of 32-bit floats alone"


def _second_operand(node: ir.Node) -> Reason:
    if weight_index(node) == 1 and not integer_attribute(node, "transA", 0):
        return None
    return "its second operand is no constant, or its first is transposed"


def _factors(node: ir.Node) -> Reason:
    return None if has_unit_factors(node) else "its alpha or beta is not 1"


def _bias(node: ir.Node) -> Reason:
    if bias(node) is None or bias_values(node) is not None:
        return None
    return "its bias is not a constant with one value for each output channel"


def _source(node: ir.Node) -> Reason:
    # Between codes, onnxruntime 1.31 makes a node of it that it then refuses to load.
    before = [value.producer() for value in activations(node)]
    if any(producer is not None and has_holes(producer) for producer in before):
        return "it reads an AveragePool with dilations, of which onnxruntime has none"
    return None


def _answer(node: ir.Node, enclosing: Enclosing) -> Reason:
    # Of a Conv, onnxruntime has no integer kernel with a float result. So in the last
    # one codes cost much, unless it is recovered: on the super-resolution model 12 dB.
    if node.op_type != "Conv":
        return None
    result = after_clamp(node.outputs[0])
    answers = result.is_graph_output() and graph_of(result) not in enclosing
    if answers or not _leads_to_product(node, enclosing):
        return "it answers in floats, for which onnxruntime has no integer Conv"
    return None


def _leads_to_product(node: ir.Node, enclosing: Enclosing) -> bool:
    """Return whether a Conv, Gemm or MatMul, quantized or not, lies downstream."""
    pending = list(node.outputs)
    seen = set(pending)
    while pending:
        value = pending.pop()
        users = {use.node for use in value.uses()}
        if any(is_standard(user, *COMPUTE) for user in users):
            return True
        found = {made for user in users for made in user.outputs}
        found.update(passed_on(value, enclosing))
        pending.extend(found - seen)
        seen |= found
    return False


_CHECKS = (_type, _operands)
_OF_ONNXRUNTIME: _Checks = (_factors, _bias, _source)
"""Where its integer kernels decline."""
_OF_OTHERS: _Checks = (_weight, _source)
_OF_DYNAMIC: _Checks = (_floats, _second_operand, _factors)
