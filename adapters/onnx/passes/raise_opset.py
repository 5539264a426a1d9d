"""Raise old models to the first opset that can express per-channel quantization."""

import onnx
import onnx_ir as ir

from qcore.errors import QuantError

OPSET = 13  # QuantizeLinear and DequantizeLinear take an axis
IR_VERSION = 7  # published with opset 13; from 4 on, initializers need not be inputs


def raise_opset(model: ir.Model) -> ir.Model:
    """Return the model in opset 13 or later, in IR version 7 or later."""
    opset = model.opset_imports.get("", OPSET)
    if opset < OPSET:
        model = _convert(model, opset)
    model.ir_version = max(model.ir_version, IR_VERSION)
    return model


def _convert(model: ir.Model, opset: int) -> ir.Model:
    proto = ir.to_proto(ir.external_data.load_to_model(model))
    try:
        raised = onnx.version_converter.convert_version(proto, OPSET)
    except Exception as error:  # bound C++: its errors have no common base
        raise QuantError(
            f"`model` must be of opset {OPSET} or later for per-channel scales; "
            f"it has opset {opset} and onnx cannot raise it: {error}"
        ) from error
    # The converter keeps the graph alone.
    del raised.metadata_props[:]
    raised.metadata_props.extend(proto.metadata_props)
    return ir.from_proto(raised)
