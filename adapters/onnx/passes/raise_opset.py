"""Raise old models to the first opset that can express per-channel quantization."""

import onnx
import onnx_ir as ir

from qcore.adapters.onnx.graph.tensors import HALVES
from qcore.adapters.onnx.passes.old_meanings import after_raising, before_raising
from qcore.errors import QuantError

OPSET = 13
"""In which QuantizeLinear and DequantizeLinear take an axis."""
OPSET_OF_HALVES = 19
"""In which they take and give 16-bit floats."""
IR_VERSION = {OPSET: 7, 15: 8, OPSET_OF_HALVES: 9, 21: 10, 23: 11}
"""Those published with these; from 4 on, initializers need not be inputs."""


def raise_opset(model: ir.Model, opset: int = OPSET) -> ir.Model:
    """Return the model in the first opset that has what it needs, or in its own.

    Parameters
    ----------
    model : Model
        Of any opset.
    opset : int, optional
        The first that has the formats to be used.

    Raises
    ------
    QuantError
        If onnx cannot raise it.
    """
    least = max(opset, OPSET_OF_HALVES if _has_halves(model) else OPSET)
    own = model.opset_imports.get("", least)
    if own < least:
        model = _convert(before_raising(model, own), own, least)
        model = after_raising(model, own)
    published = [version for first, version in IR_VERSION.items() if first <= least]
    model.ir_version = max(model.ir_version, *published)
    return model


def _has_halves(model: ir.Model) -> bool:
    values = (
        value
        for graph in model.graphs()
        for value in (*graph.inputs, *graph.initializers.values())
    )
    types = {value.dtype for value in values}
    types.update(map(_made, model.graph.all_nodes()))
    return not types.isdisjoint(HALVES)


def _made(node: ir.Node) -> ir.DataType | None:
    """Return the type of what a node makes of nothing or of another type."""
    if node.op_type == "Constant" and "value" in node.attributes:
        return node.attributes["value"].as_tensor().dtype
    if node.op_type == "Cast":
        return ir.DataType(node.attributes["to"].as_int())
    return None


def _convert(model: ir.Model, opset: int, least: int) -> ir.Model:
    proto = ir.to_proto(ir.external_data.load_to_model(model))
    try:
        raised = onnx.version_converter.convert_version(proto, least)
    except Exception as error:  # bound C++: its errors have no common base
        raise QuantError(
            f"`model` must be of opset {least} or later for what scales need; "
            f"it has opset {opset} and onnx cannot raise it: {error}"
        ) from error
    # The converter keeps the graph alone.
    del raised.metadata_props[:]
    raised.metadata_props.extend(proto.metadata_props)
    return ir.from_proto(raised)
