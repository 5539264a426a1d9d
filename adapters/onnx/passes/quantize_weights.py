"""Store weights in codes and biases in 32 bits, each behind a DequantizeLinear."""

from collections.abc import Mapping
from dataclasses import replace

import onnx_ir as ir

from qcore import QParams
from qcore.adapters.onnx.bias_codes import store_bias
from qcore.adapters.onnx.constant_reader import ConstantReader, finite
from qcore.adapters.onnx.graph.operands import (
    activations,
    bias,
    bias_values,
    channel_axis,
    weight,
)
from qcore.adapters.onnx.graph.tensors import HALVES
from qcore.adapters.onnx.neighbours import neighbours_in
from qcore.adapters.onnx.planning.plan import Plan
from qcore.adapters.onnx.weights import WeightSpec, WeightSpecs


def quantize_weights(
    model: ir.Model,
    plan: Plan,
    qparams: Mapping[str, QParams],
    mean_ratios: Mapping[str, float],
    specs: WeightSpecs,
) -> ir.Model:
    """Return the model with the weights of the plan's computing nodes in codes.

    Parameters
    ----------
    model : Model
        Before its activations are quantized.
    plan : Plan
        Which nodes.
    qparams : mapping
        Of the activations; their scales are part of those of the biases.
    mean_ratios : mapping
        Of the activations; see `qcore.mean_ratio`.
    specs : WeightSpecs
        How.

    Raises
    ------
    NonFiniteError
        If a weight or bias holds NaN or infinity.
    """
    reader = ConstantReader(model.graph)
    for node in [n for n in model.graph.all_nodes() if n.name in plan.compute]:
        kernel = weight(node)
        if kernel is None:
            continue
        addend, values = bias(node), bias_values(node)
        x = str(activations(node)[0].name)
        x_scale = qparams[x].scale
        # The product of two scales has no room in 16 bits.
        if kernel.dtype in HALVES:
            values = None
        if addend is not None and values is not None:
            finite(addend)
        # Room for 32 bits is left even if no codes are asked for: onnxruntime makes
        # some of the bias by itself, which 16-bit products would make overflow.
        index = node.inputs.index(kernel)
        spec = _for_operand(index, specs.of(kernel))
        stored = spec.store(
            finite(kernel),
            channel_axis(node),
            x_scale=x_scale,
            bias=values,
            mean_ratio=mean_ratios[x],
            neighbours=neighbours_in(node),
        )
        node.replace_input_with(index, reader.read(node, kernel, stored))
        if addend is not None and values is not None and spec.bias_codes:
            stored = store_bias(values, x_scale * stored.scale)
            node.replace_input_with(2, reader.read(node, addend, stored))
    return model


def _for_operand(index: int, spec: WeightSpec) -> WeightSpec:
    """Return how an operand of a product is quantized, if that is its weight."""
    if index == 0 and spec.adds_in_16_bits and spec.codes == "int8":
        # onnxruntime has no kernel that multiplies signed codes by unsigned ones.
        return replace(spec, codes="uint8")
    return spec
