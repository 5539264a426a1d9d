"""Give a quantized model back what rounding has cost it, layer by layer.

Each layer is looked at on what the quantized ones before it make of the samples. Its
weights are rounded so that its output changes least ("GPTQ", arXiv:2210.17323), and its
bias then takes out the mean error that is left ("Data-Free Quantization Through Weight
Equalization and Bias Correction", arXiv:1906.04721).

The bias of a MatMul, which is what transformers multiply tokens by, takes out what its
own weights err, and not what came before: the mean of that is the error of a few tokens
with huge values, which all others would be shifted by.
"""

import numpy as np
import onnx_ir as ir

from qcore.adapters.onnx.constants import array_of, extents_of, is_constant
from qcore.adapters.onnx.operands import PRODUCTS
from qcore.adapters.onnx.recovery.biases import add_behind, can_set_bias, set_bias
from qcore.adapters.onnx.recovery.geometry import Geometry
from qcore.adapters.onnx.recovery.held import Held
from qcore.adapters.onnx.recovery.inputs import gram_of_inputs
from qcore.adapters.onnx.recovery.layers import layers
from qcore.adapters.onnx.recovery.outputs import mean_outputs
from qcore.adapters.onnx.recovery.rounding import round_weight, rounded_weight
from qcore.adapters.onnx.recovery.stage_run import run_stage
from qcore.adapters.onnx.recovery.stages import next_stage
from qcore.adapters.progress import terminal_bar
from qcore.adapters.recovery_levels import Level
from qcore.recovery.thinning import MOST_OUTPUTS


def recover_layers(
    model: ir.Model,
    float_model: ir.Model,
    held: Held,
    *,
    level: Level,
    bias_codes: bool,
    bar: bool,
) -> None:
    """
    Change weights and biases of a quantized model in place.

    Parameters
    ----------
    model : Model
        Quantized.
    float_model : Model
        What it was made of, with nodes of the same names.
    held : Held
        The inputs of all samples, to which other tensors are added meanwhile.
    level : {"bias", "gptq", "full"}
        Biases alone, or weights too.
    bias_codes : bool
        Whether the runtime wants biases in 32-bit codes.
    bar : bool
        Whether a terminal shall show how long it takes.
    """
    weights = {
        str(node.name): value
        for node in float_model.graph
        if node.op_type in PRODUCTS and is_constant(value := node.inputs[1])
    }
    found = [layer for layer in layers(model.graph) if layer.name in weights]
    if not found:
        return
    most = max(MOST_OUTPUTS // len(held), 1)
    floats = {str(node.name): node for node in float_model.graph}
    geometries = {
        layer.name: Geometry(floats[layer.name], extents_of(weights[layer.name]))
        for layer in found
    }
    convolutions = {n: g for n, g in geometries.items() if g.node.op_type != "MatMul"}
    means = mean_outputs(float_model, convolutions, held, most)
    ran: set[ir.Node] = set()
    for layer in terminal_bar(found, "recovering", "layer") if bar else found:
        stage = next_stage(model.graph, ran, layer.node)
        run_stage(model, stage, held)
        ran.update(stage.nodes)
        held.keep({str(value.name) for value in stage.needed})
        geometry = geometries[layer.name]
        gram = gram_of_inputs(layer, geometry, held, most)
        if level != "bias":
            round_weight(layer, geometry, array_of(weights[layer.name]), gram)
        rounded = rounded_weight(layer, geometry)
        if layer.node.op_type == "MatMul":
            before = geometry.by_output(array_of(weights[layer.name]))
            change = before.astype(np.float64) - rounded
            add_behind(model.graph, layer, geometry.products(change, gram.mean))
            continue
        bias = means[layer.name] - geometry.products(rounded, gram.mean)
        if can_set_bias(layer, bias.size):
            set_bias(model.graph, layer, bias, bias_codes=bias_codes)
