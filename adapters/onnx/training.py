"""Models that were exported while they learned."""

import onnx_ir as ir

from qcore.adapters.onnx.graph.constants import array_of, is_constant
from qcore.adapters.onnx.graph.operands import integer_attribute, is_standard
from qcore.errors import QuantError


def refuse_training(model: ir.Model, /) -> ir.Model:
    """
    Return the model; raise where it normalizes by the batch or drops values.

    Raises
    ------
    QuantError
        It names what the first node gives.
    """
    for node in model.graph.all_nodes():
        if _learns(node):
            raise QuantError(
                "`model` must be one for inference; "
                f"{node.op_type} of {node.outputs[0].name!r} is in training mode. "
                "Export it anew, in evaluation mode."
            )
    return model


def _learns(node: ir.Node) -> bool:
    if is_standard(node, "BatchNormalization"):
        # Before opset 14, its further outputs said so.
        return bool(integer_attribute(node, "training_mode", 0)) or any(
            value.uses() or value.is_graph_output() for value in node.outputs[1:]
        )
    if is_standard(node, "Dropout") and len(node.inputs) > 2:
        mode = node.inputs[2]
        return is_constant(mode) and bool(array_of(mode).all())
    return False
