"""ONNX Runtime on exported models: what is written, computed node by node."""

import io

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper

from qcore.adapters.torch.nn.modules.tensor_quantizer import TensorQuantizer
from qcore.adapters.torch.onnx.export import enable_onnx_export

INTEGERS = ("INT8", "UINT8", "INT16", "UINT16", "INT4", "UINT4")


def calibrate(model, *args):
    """Calibrate all quantizers that have no range; the model evaluates from now on."""
    quantizers = [q for q in model.modules() if isinstance(q, TensorQuantizer)]
    missing = [q for q in quantizers if not q.has_range() and not q.is_learned()]
    for quantizer in missing:
        quantizer.disable_quant()
        quantizer.enable_calib()
    with torch.no_grad():
        model.eval()(*args)
    for quantizer in missing:
        quantizer.load_calib_amax()
        quantizer.enable_quant()
        quantizer.disable_calib()
    return model


def exported(model, *args, **options):
    """Return the model that plain torch.onnx.export makes in the block."""
    file = io.BytesIO()
    with enable_onnx_export():
        program = torch.onnx.export(
            model,
            args,
            file if options.get("dynamo") is False else None,
            verbose=False,
            **options,
        )
    if program is not None:
        return program.model_proto
    return onnx.load_model_from_string(file.getvalue())


def nodes(model, kind="QuantizeLinear"):
    return [node for node in model.graph.node if node.op_type == kind]


def run(model, *arrays):
    """Return what ONNX Runtime computes with all optimizations off."""
    options = onnxruntime.SessionOptions()
    level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.graph_optimization_level = level
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    names = [taken.name for taken in session.get_inputs()]
    return session.run(None, dict(zip(names, map(np.asarray, arrays), strict=True)))


def codes(model, *arrays):
    """Return the codes of every QuantizeLinear: integers, floats as their numbers."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.graph.output[:]
    for node in nodes(model):
        kind = TensorProto.INT32 if node_type(model, node) in INTEGERS else 1
        name = f"{node.output[0]}_codes"
        copy.graph.node.append(
            helper.make_node("Cast", node.output[:1], [name], to=kind)
        )
        copy.graph.output.append(helper.make_tensor_value_info(name, kind, None))
    return run(copy, *arrays)


def constant(model, name):
    """Return the array of an initializer or of a Constant node."""
    for tensor in model.graph.initializer:
        if tensor.name == name:
            return onnx.numpy_helper.to_array(tensor)
    (node,) = [node for node in nodes(model, "Constant") if name in node.output]
    return onnx.numpy_helper.to_array(node.attribute[0].t)


def node_type(model, node):
    """Return the name of the type that a QuantizeLinear gives."""
    for attribute in node.attribute:
        if attribute.name == "output_dtype":
            return TensorProto.DataType.Name(attribute.i)
    zero_point = constant(model, node.input[2])
    return TensorProto.DataType.Name(helper.np_dtype_to_tensor_dtype(zero_point.dtype))


def grids(model):
    """Return what each QuantizeLinear rounds to: attributes, scales, zero points."""
    return [
        (
            {a.name: a.i for a in node.attribute},
            *(constant(model, name).tolist() for name in node.input[1:]),
        )
        for node in nodes(model)
    ]
