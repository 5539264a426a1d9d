"""Give a quantized model back what rounding has cost it, layer by layer.

Each layer is looked at on what the quantized ones before it make of the samples. Its
weights are rounded so that its output changes least ("GPTQ", arXiv:2210.17323), and its
bias then takes out the mean error that is left ("Data-Free Quantization Through Weight
Equalization and Bias Correction", arXiv:1906.04721).

The bias of a MatMul, which is what transformers multiply tokens by, takes out what its
own weights err, and not what came before: the mean of that is the error of a few tokens
with huge values, which all others would be shifted by.
"""

from pathlib import Path

import numpy as np
import onnx_ir as ir

from qcore import Gram
from qcore.adapters.onnx.graph.constants import array_of, extents_of, is_constant
from qcore.adapters.onnx.graph.operands import PRODUCTS
from qcore.adapters.onnx.recovery.biases import add_behind, can_set_bias, set_bias
from qcore.adapters.onnx.recovery.change import Change
from qcore.adapters.onnx.recovery.checkpoint import Checkpoint
from qcore.adapters.onnx.recovery.geometry import Geometry
from qcore.adapters.onnx.recovery.held import Held
from qcore.adapters.onnx.recovery.inputs import gram_of_inputs
from qcore.adapters.onnx.recovery.layers import Layer, layers
from qcore.adapters.onnx.recovery.origin import origin
from qcore.adapters.onnx.recovery.outputs import mean_outputs
from qcore.adapters.onnx.recovery.rounding import multiplied, rounded_codes, set_codes
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
    folder: Path | None,
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
    folder : path or None
        Where to keep what is done, and to go on from.
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
    checkpoint = None
    if folder is not None:
        made_of = origin(model, float_model, held=held, options=(level, bias_codes))
        checkpoint = Checkpoint(folder, made_of)
    most = max(MOST_OUTPUTS // len(held), 1)
    floats = {str(node.name): node for node in float_model.graph}
    geometries = {
        layer.name: Geometry(floats[layer.name], extents_of(weights[layer.name]))
        for layer in found
    }
    convolutions = {n: g for n, g in geometries.items() if not _adds_behind(g.node)}
    means = mean_outputs(float_model, convolutions, held, most)
    ran: set[ir.Node] = set()
    listed = terminal_bar(found, "recovering", "layer") if bar else found
    for number, layer in enumerate(listed):
        stage = next_stage(model.graph, ran, layer.node)
        run_stage(model, stage, held)
        ran.update(stage.nodes)
        held.keep({str(value.name) for value in stage.needed})
        codes = array_of(layer.weight.codes)
        change = checkpoint.get(number, codes.dtype) if checkpoint else None
        if change is None:
            geometry, weight = geometries[layer.name], array_of(weights[layer.name])
            gram = gram_of_inputs(layer, geometry, held, most)
            mean = means.get(layer.name)
            change = _change(layer, geometry, weight, mean=mean, gram=gram, level=level)
            if checkpoint:
                checkpoint.put(number, change)
        _apply(model.graph, layer, change, bias_codes=bias_codes)


def _adds_behind(node: ir.Node) -> bool:
    """Return whether an operator takes no bias itself."""
    return node.op_type == "MatMul"


def _change(
    layer: Layer,
    geometry: Geometry,
    weight: np.ndarray,
    *,
    mean: np.ndarray | None,
    gram: Gram,
    level: Level,
) -> Change:
    """Return what a layer gets, given its float weight and the mean of its output."""
    codes = None
    if level != "bias":
        codes = rounded_codes(layer, geometry, weight, gram)
    used = array_of(layer.weight.codes) if codes is None else codes
    rounded = multiplied(layer, geometry, used)
    if mean is None:
        lost = geometry.by_output(weight).astype(np.float64) - rounded
        return Change(codes, geometry.products(lost, gram.mean))
    return Change(codes, mean - geometry.products(rounded, gram.mean))


def _apply(graph: ir.Graph, layer: Layer, change: Change, *, bias_codes: bool) -> None:
    if change.codes is not None:
        set_codes(layer, change.codes)
    if _adds_behind(layer.node):
        add_behind(graph, layer, change.bias)
    elif can_set_bias(layer, change.bias.size):
        set_bias(graph, layer, change.bias, bias_codes=bias_codes)
