"""Put numbers in codes, or rounded ones, where a plan wants them."""

from collections.abc import Mapping

import onnx_ir as ir

from qcore import QParams
from qcore.adapters.onnx.formats import Formats
from qcore.adapters.onnx.graph.stored_operands import multiplied_tensors
from qcore.adapters.onnx.passes.insert_qdq import insert_qdq
from qcore.adapters.onnx.passes.loadable_float8 import loadable_float8
from qcore.adapters.onnx.passes.loadable_halves import loadable_halves
from qcore.adapters.onnx.passes.multiply_dynamically import multiply_dynamically
from qcore.adapters.onnx.passes.quantize_weights import quantize_weights
from qcore.adapters.onnx.passes.round_activations import round_activations
from qcore.adapters.onnx.passes.round_weights import round_weights
from qcore.adapters.onnx.passes.store_weights import store_weights
from qcore.adapters.onnx.planning.plan import Plan
from qcore.adapters.onnx.ranges import activation_mean_ratios, activation_qparams
from qcore.adapters.onnx.tailoring import Tailored
from qcore.adapters.onnx.targets import Target
from qcore.adapters.onnx.weights import WeightSpecs
from qcore.statistics import Statistics


def rewritten(
    model: ir.Model,
    plan: Plan,
    formats: Formats,
    statistics: Mapping[str, Statistics],
    tailored: Tailored,
) -> ir.Model:
    """Return the model as planned, with codes to the nearest; not yet `loadable`."""
    target, weights = formats.target, tailored.weights
    qparams = (
        activation_qparams(model.graph, plan, statistics, tailored.activations)
        if formats.needs_data
        else {}
    )
    read = [*plan.tensors, *multiplied_tensors(model.graph, plan)]
    ratios = activation_mean_ratios(model.graph, read, statistics)
    if formats.fake:
        rounded = round_weights(model, plan, ratios, weights)
        if formats.activation is None:
            return rounded
        return round_activations(rounded, plan, qparams, formats.activation)
    stored = store_weights(
        model,
        plan,
        ratios,
        weights,
        looks_up_codes=target.looks_up_codes,
    )
    if target.mode == "dynamic":
        return multiply_dynamically(stored, plan, ratios, weights)
    return _in_codes(
        stored, plan, target, qparams=qparams, ratios=ratios, weights=weights
    )


def in_codes(
    model: ir.Model,
    plan: Plan,
    target: Target,
    *,
    qparams: Mapping[str, QParams],
    ratios: Mapping[str, float],
    weights: WeightSpecs,
) -> ir.Model:
    """Return the model with products of codes, given the scales of activations."""
    coded = _in_codes(
        model, plan, target, qparams=qparams, ratios=ratios, weights=weights
    )
    return loadable(coded, target)


def loadable(model: ir.Model, target: Target) -> ir.Model:
    """Return a model of codes as its runtime can load it.

    Some of its weights are then read in ways that recovery does not know.
    """
    return loadable_float8(model) if target.name == "onnxruntime" else model


def _in_codes(
    model: ir.Model,
    plan: Plan,
    target: Target,
    *,
    qparams: Mapping[str, QParams],
    ratios: Mapping[str, float],
    weights: WeightSpecs,
) -> ir.Model:
    coded = quantize_weights(model, plan, qparams, ratios, weights)
    coded = insert_qdq(coded, plan, qparams, everywhere=target.carries)
    return loadable_halves(coded) if target.name == "onnxruntime" else coded
