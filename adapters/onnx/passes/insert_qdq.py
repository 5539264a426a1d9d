"""Put QuantizeLinear and DequantizeLinear behind every activation to be quantized."""

from collections.abc import Collection, Mapping

import onnx_ir as ir

from qcore import QParams
from qcore.adapters.onnx.graph.bodies import graph_of
from qcore.adapters.onnx.graph.constants import add_constant
from qcore.adapters.onnx.graph.names import Names
from qcore.adapters.onnx.graph.nodes import (
    Grid,
    dequantize_linear,
    dtype_of,
    quantize_linear,
)
from qcore.adapters.onnx.graph.tensors import tensors_by_name
from qcore.adapters.onnx.planning.plan import Plan


def insert_qdq(
    model: ir.Model, plan: Plan, qparams: Mapping[str, QParams], *, everywhere: bool
) -> ir.Model:
    """Return the model with one pair for each tensor of the plan.

    Tensors that share a range share the constants. Users that compute on codes read
    what the pair gives. If `everywhere`, so do all others where the tensor itself comes
    out of such an operator: onnxruntime gives its integer kernels no second, float
    result. In a body they read the codes from outside and dequantize them there, since
    it merges nodes of the same graph alone.
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
        home = graph_of(value)
        born_in_codes = (
            everywhere and producer is not None and producer.name in on_codes
        )
        users = _users(value, on_codes, all_of_them=born_in_codes)
        quantize = quantize_linear(names, value, grids[sources])
        if producer is None:
            home.insert_before(home[0], quantize)
        else:
            home.insert_after(producer, quantize)
        codes = quantize.outputs[0]
        for place, uses in users.items():
            dequantize = dequantize_linear(names, name, codes, grids[sources])
            if place is home:
                home.insert_after(quantize, dequantize)
            else:
                place.insert_before(place[0], dequantize)
            real = dequantize.outputs[0]
            for user, index in uses:
                user.replace_input_with(index, real)
            if place is home and born_in_codes and value in home.outputs:
                home.outputs[:] = [real if v is value else v for v in home.outputs]
                _rename(value, real, names)
    return model


def _users(
    value: ir.Value, on_codes: Collection[str | None], *, all_of_them: bool
) -> dict[ir.Graph, list[tuple[ir.Node, int]]]:
    """Return which inputs of which nodes read what a pair gives, by where it lies.

    Users that compute on codes have it in their own graph, others in the tensor's.
    """
    home = graph_of(value)
    users: dict[ir.Graph, list[tuple[ir.Node, int]]] = {home: []}
    for use in value.uses():
        reads_codes = use.node.name in on_codes
        if reads_codes or all_of_them:
            place = graph_of(use.node) if reads_codes else home
            users.setdefault(place, []).append((use.node, use.idx))
    return users


def _rename(value: ir.Value, real: ir.Value, names: Names) -> None:
    """Have what was read back from codes go by the name of the output it became."""
    name = value.name
    value.name, real.name = names.fresh(f"{name}_float"), name
    real.doc_string = value.doc_string
    real.metadata_props.update(value.metadata_props)


def _grid(graph: ir.Graph, names: Names, name: str, qparams: QParams) -> Grid:
    zero_point = qparams.zero_point.astype(dtype_of(qparams.spec.format))
    scale = qparams.scale.astype(qparams.spec.scale_dtype)
    return Grid(
        add_constant(graph, names, f"{name}_scale", scale),
        add_constant(graph, names, f"{name}_zero_point", zero_point),
    )
