"""Run a stage of a graph on samples."""

from collections.abc import Iterable, Mapping

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort

from qcore.adapters.onnx.graph.constants import is_constant
from qcore.adapters.onnx.passes.loadable_float8 import FLOAT8S
from qcore.adapters.onnx.recovery.held import Held
from qcore.adapters.onnx.recovery.stages import Stage, operands
from qcore.adapters.onnx.running.float32_twin import float32_twin, has_bfloat16
from qcore.adapters.onnx.running.sessions import open_session
from qcore.errors import QuantError


def run_stage(model: ir.Model, stage: Stage, held: Held) -> None:
    """Hold of every sample what a stage makes of what is held."""
    if not (stage.outputs and len(held)):
        return
    names = [str(value.name) for value in stage.outputs]
    session: ort.InferenceSession | None = None
    types: Mapping[str, tuple[np.dtype, int]] = {}
    for sample in range(len(held)):
        feed = {
            str(value.name): held.get(sample, str(value.name)) for value in stage.inputs
        }
        found = {name: (array.dtype, array.ndim) for name, array in feed.items()}
        if session is None or found != types:
            session, types = _session(model, stage, feed), found
        try:
            results = session.run(names, feed)
        except Exception as error:  # bound C++: its errors have no common base
            raise QuantError(
                f"onnxruntime fails on the quantized model in sample {sample}: {error}"
            ) from error
        for name, result in zip(names, results, strict=True):
            held.put(sample, name, result)


def _session(
    model: ir.Model, stage: Stage, feed: Mapping[str, np.ndarray]
) -> ort.InferenceSession:
    graph = onnx.GraphProto(name="stage")
    graph.node.extend(ir.to_proto(node) for node in stage.nodes)
    graph.initializer.extend(map(ir.to_proto, _constants(stage)))
    for name, array in feed.items():
        kind = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
        free = [None] * array.ndim
        graph.input.append(onnx.helper.make_tensor_value_info(name, kind, free))
    graph.output.extend(onnx.ValueInfoProto(name=value.name) for value in stage.outputs)
    opsets = [
        onnx.helper.make_opsetid(domain, version)
        for domain, version in model.opset_imports.items()
    ]
    proto = onnx.helper.make_model(
        graph, opset_imports=opsets, ir_version=model.ir_version
    )
    if has_bfloat16(model):
        proto = ir.to_proto(float32_twin(ir.from_proto(proto)))
    # Merged, those around float8 answer wrong or do not load; see `loadable_float8`.
    as_written = any(
        value.dtype in FLOAT8S for node in stage.nodes for value in node.outputs
    )
    try:
        return open_session(proto.SerializeToString(), as_written=as_written)
    except Exception as error:  # as above
        raise QuantError(
            f"onnxruntime cannot load the quantized model: {error}"
        ) from error


def _constants(stage: Stage) -> Iterable[ir.TensorProtocol]:
    read = dict.fromkeys(value for node in stage.nodes for value in operands(node))
    for value in read:
        if is_constant(value):
            tensor = value.const_value
            assert tensor is not None
            yield ir.tensor(tensor.numpy(), name=value.name)
