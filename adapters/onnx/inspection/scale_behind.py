"""The scale of weights that integer products do not take, but what is behind them."""

import onnx_ir as ir

from qcore.adapters.onnx.graph.constants import is_constant


def scale_behind(product: ir.Node) -> ir.Value | None:
    """Return what the result of an integer product is multiplied by, if constant.

    Either by itself, or after the scale of the activations took it.
    """
    cast = only_user(product, "Cast")
    factor = None if cast is None else other_operand(cast, "Mul")
    scales = None if factor is None else factor.producer()
    if is_constant(factor) or scales is None or scales.op_type != "Mul":
        return factor if is_constant(factor) else None
    return next((value for value in scales.inputs if is_constant(value)), None)


def only_user(node: ir.Node, op_type: str) -> ir.Node | None:
    """Return what reads the first result of a node, if that is one such operator."""
    users = [use.node for use in node.outputs[0].uses()]
    return users[0] if [user.op_type for user in users] == [op_type] else None


def other_operand(node: ir.Node, op_type: str) -> ir.Value | None:
    """Return what such an operator, its only user, takes beside a node's result."""
    user = only_user(node, op_type)
    others = [] if user is None else list(user.inputs)
    return next((value for value in others if value is not node.outputs[0]), None)
