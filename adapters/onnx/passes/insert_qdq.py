"""Put QuantizeLinear and DequantizeLinear behind every activation to be quantized."""

from collections.abc import Mapping

import onnx_ir as ir

from qcore import QParams
from qcore.adapters.onnx.constants import add_constant
from qcore.adapters.onnx.names import Names
from qcore.adapters.onnx.nodes import (
    Grid,
    dequantize_linear,
    dtype_of,
    quantize_linear,
)
from qcore.adapters.onnx.plan import Plan
from qcore.adapters.onnx.tensors import tensors_by_name


def insert_qdq(
    model: ir.Model, plan: Plan, qparams: Mapping[str, QParams], *, everywhere: bool
) -> ir.Model:
    """Return the model with one pair for each tensor of the plan.

    Tensors that share a range share the constants. Users that compute on codes read
    what the pair gives. If `everywhere`, so do all others where the tensor itself comes
    out of such an operator: onnxruntime gives its integer kernels no second, float
    result.
    """
    graph = model.graph
    names = Names(graph)
    values = tensors_by_name(graph)
    on_codes = {*plan.compute, *plan.carriers}
    grids: dict[tuple[str, ...], Grid] = {}
    for name, sources in plan.tensors.items():
        if sources not in grids:
            grids[sources] = _grid(graph, names, sources[0], qparams[name])
        value, producer = values[name], values[name].producer()
        born_in_codes = (
            everywhere and producer is not None and producer.name in on_codes
        )
        users = [
            use for use in value.uses() if born_in_codes or use.node.name in on_codes
        ]
        quantize = quantize_linear(names, value, grids[sources])
        codes = quantize.outputs[0]
        dequantize = dequantize_linear(names, name, codes, grids[sources])
        if producer is None:
            graph.insert_before(graph[0], (quantize, dequantize))
        else:
            graph.insert_after(producer, (quantize, dequantize))
        for user, index in users:
            user.replace_input_with(index, dequantize.outputs[0])
    return model


def _grid(graph: ir.Graph, names: Names, name: str, qparams: QParams) -> Grid:
    zero_point = qparams.zero_point.astype(dtype_of(qparams.spec.format))
    scale = qparams.scale.astype(qparams.spec.scale_dtype)
    return Grid(
        add_constant(graph, names, f"{name}_scale", scale),
        add_constant(graph, names, f"{name}_zero_point", zero_point),
    )
