"""Find the type and shape of every tensor."""

import onnx_ir as ir
from onnx_ir.passes.common import ShapeInferencePass

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
    for node in inferred.graph.all_nodes():
        if node.op_type in NO_TENSORS:  # onnx-ir 1.1 takes them for tensors
            node.outputs[0].type = node.outputs[0].shape = None
    return inferred
