"""Find the type and shape of every tensor."""

import onnx_ir as ir
from onnx_ir.passes.common import ShapeInferencePass

from qcore.adapters.onnx.graph.bodies import bodies
from qcore.adapters.onnx.graph.operands import PRODUCTS, is_standard

NO_TENSORS = frozenset(
    [
        "Optional",
        "SequenceConstruct",
        "SequenceEmpty",
        "SequenceErase",
        "SequenceInsert",
        "SequenceMap",
        "SplitToSequence",
    ]
)
"""Operators that give several tensors as one, or one or none."""


def infer_types(model: ir.Model) -> ir.Model:
    """Return the model with types and shapes where ONNX can tell them."""
    # Not strict: one node of an unknown domain must not hide the types of the others.
    inferred = ShapeInferencePass(check_type=False, strict_mode=False)(model).model
    # What they and bodies give onnx-ir 1.1 takes for tensors.
    for node in reversed(list(inferred.graph.all_nodes())):
        if node.op_type in NO_TENSORS:
            _mark(node.outputs[0], None)
        for body in bodies(node):
            given = body.outputs[int(node.op_type == "Loop") :]
            for value, inner in zip(node.outputs, given, strict=False):
                if not isinstance(inner.type, ir.TensorType):
                    _mark(value, inner.type)
    for node in inferred.graph.all_nodes():
        _spread(node)
    return inferred


def _spread(node: ir.Node) -> None:
    """Give what a product reads and makes the type of its weight, if it has none."""
    if not is_standard(node, *PRODUCTS):
        return
    values = [value for value in (*node.inputs, *node.outputs) if value is not None]
    types = {value.dtype for value in values if value.dtype is not None}
    for value in values if len(types) == 1 else ():
        if value.type is None:
            value.type = ir.TensorType(*types)


def _mark(value: ir.Value, kind: ir.TypeProtocol | None) -> None:
    """Let a value be no tensor, of a kind unless it says its own."""
    value.shape = None
    if value.type is None or isinstance(value.type, ir.TensorType):
        value.type = kind
