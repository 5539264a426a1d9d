"""Multiply codes whose scale is found when the model runs.

DynamicQuantizeLinear finds the range of a tensor and its uint8 codes, MatMulInteger or
ConvInteger multiply, and the product of both scales makes floats of the result:
onnxruntime merges these nodes to one.
"""

from collections.abc import Mapping
from dataclasses import replace

import onnx_ir as ir

from qcore.adapters.onnx.constant_reader import finite
from qcore.adapters.onnx.graph.bodies import graph_of
from qcore.adapters.onnx.graph.names import Names
from qcore.adapters.onnx.graph.operands import (
    bias,
    channel_axis,
    integer_attribute,
    weight,
)
from qcore.adapters.onnx.graph.replacement import Replacement
from qcore.adapters.onnx.neighbours import neighbours_in
from qcore.adapters.onnx.planning.plan import Plan
from qcore.adapters.onnx.stored import Stored
from qcore.adapters.onnx.weights import WeightSpecs


def multiply_dynamically(
    model: ir.Model, plan: Plan, mean_ratios: Mapping[str, float], specs: WeightSpecs
) -> ir.Model:
    """Return the model with the products of the plan on codes.

    Parameters
    ----------
    model : Model
        Any.
    plan : Plan
        Which nodes.
    mean_ratios : mapping
        Of the activations, as far as they are known; see `qcore.mean_ratio`.
    specs : WeightSpecs
        How weights are quantized.

    Raises
    ------
    NonFiniteError
        If a weight holds NaN or infinity.
    """
    names = Names(model.graph)
    found: dict[ir.Value, tuple[ir.Value, ...]] = {}
    for node in [n for n in model.graph.all_nodes() if n.name in plan.compute]:
        x, kernel = node.inputs[0], weight(node)
        assert x is not None
        assert kernel is not None
        if x not in found:
            found[x] = _quantized(graph_of(x), names, x)
        spec = specs.of(kernel)
        if node.op_type == "Conv" and spec.codes == "int8":
            # onnxruntime 1.31's ConvInteger takes ten times as long for signed codes.
            spec = replace(spec, codes="uint8")
        stored = spec.store(
            finite(kernel),
            channel_axis(node),
            mean_ratio=mean_ratios.get(str(x.name), 0.0),
            neighbours=neighbours_in(node),
        )
        _multiply(Replacement(graph_of(node), names, node), stored, found[x])
    return model


def _quantized(graph: ir.Graph, names: Names, x: ir.Value) -> tuple[ir.Value, ...]:
    """Return codes, scale and zero point of a tensor."""
    node = ir.node(
        "DynamicQuantizeLinear",
        [x],
        num_outputs=3,
        name=names.fresh(f"{x.name}_DynamicQuantizeLinear"),
    )
    types = (ir.DataType.UINT8, ir.DataType.FLOAT, ir.DataType.UINT8)
    suffixes = ("quantized", "scale", "zero_point")
    for value, dtype, suffix in zip(node.outputs, types, suffixes, strict=True):
        value.name = names.fresh(f"{x.name}_{suffix}")
        value.type = ir.TensorType(dtype)
    producer = x.producer()
    if producer is None:
        graph.insert_before(graph[0], node)
    else:
        graph.insert_after(producer, node)
    return tuple(node.outputs)


def _multiply(new: Replacement, stored: Stored, found: tuple[ir.Value, ...]) -> None:
    """Put a product of codes in the place of one of floats."""
    node, (x_codes, x_scale, x_zero_point) = new.node, found
    codes, scale, zero_point = stored.codes, stored.scale, stored.zero_point
    assert zero_point is not None
    shape: tuple[int, ...] = (-1,)
    op_type, attributes = "MatMulInteger", None
    if node.op_type == "Conv":
        op_type, attributes = "ConvInteger", node.attributes.values()
        shape = (-1, *[1] * (codes.ndim - 2))
    elif node.op_type == "Gemm" and integer_attribute(node, "transB", 0):
        codes = codes.T
    result = new.add(
        op_type,
        [
            x_codes,
            new.constant("quantized", codes),
            x_zero_point,
            # One for all channels: onnxruntime's ConvInteger wants it so.
            new.constant("zero_point", zero_point.ravel()[0]),
        ],
    )
    main = result.producer()
    assert main is not None
    for attribute in attributes or ():
        main.attributes.add(attribute)
    floats = new.add("Cast", [result], {"to": ir.DataType.FLOAT})
    if scale.ndim:
        scale = scale.reshape(shape)
    scales = new.add("Mul", [x_scale, new.constant("scale", scale)])
    result = new.add("Mul", [floats, scales])
    addend = bias(node)
    if addend is not None:
        if node.op_type == "Conv":
            addend = new.add("Reshape", [addend, new.numbers("shape", shape)])
        result = new.add("Add", [result, addend])
    for made in new.nodes:
        dtype = ir.DataType.INT32 if made is main else ir.DataType.FLOAT
        made.outputs[0].type = ir.TensorType(dtype)
    new.finish(result, main, node.op_type)
