"""Round the weights of a layer so that its output changes least."""

from dataclasses import replace

import numpy as np
import onnx_ir as ir

from qcore import FloatFormat, Gram, PerChannel, QParams
from qcore.adapters.onnx.constants import array_of
from qcore.adapters.onnx.recovery.geometry import Geometry
from qcore.adapters.onnx.recovery.layers import Layer
from qcore.recovery import gptq


def round_weight(
    layer: Layer, geometry: Geometry, weight: np.ndarray, gram: Gram
) -> None:
    """
    Give a layer other codes of its weight.

    Parameters
    ----------
    layer : Layer
        Whose codes change; not those that other nodes read too, whose inputs differ.
    geometry : Geometry
        Its own.
    weight : array
        As it was in floats.
    gram : Gram
        Of the inputs.
    """
    codes, real = layer.weight.codes, layer.node.inputs[1]
    assert real is not None
    if len(codes.uses()) > 1 or len(real.uses()) > 1:
        return
    rows = geometry.by_output(weight).astype(np.float32)
    found = gptq(rows, gram, _by_output(layer, geometry), center=True)
    found = np.ascontiguousarray(geometry.as_stored(found))
    is_float = isinstance(layer.weight.qparams.spec.format, FloatFormat)
    dtype = array_of(codes).dtype
    # The codes of floats are bit patterns.
    new = found.view(dtype) if is_float else found.astype(dtype)
    codes.const_value = ir.tensor(new, name=codes.name)


def rounded_weight(layer: Layer, geometry: Geometry) -> np.ndarray:
    """Return ``[outputs, inputs, *kernel]`` of what a layer multiplies by, float64."""
    codes = geometry.by_output(array_of(layer.weight.codes))
    qparams = _by_output(layer, geometry)
    scale = np.asarray(qparams.scale, np.float64)
    weight: np.ndarray = (codes.astype(np.float64) - qparams.zero_point) * scale
    return weight


def _by_output(layer: Layer, geometry: Geometry) -> QParams:
    """Return the scale and zero point of each weight, by output."""
    given, shape = layer.weight.qparams, geometry.shape
    scale, zero_point = (
        geometry.by_output(
            np.broadcast_to(given.spec.granularity.expand(x, shape, xp=np), shape)
        )
        for x in (given.scale, given.zero_point)
    )
    each = PerChannel(tuple(range(scale.ndim)))
    return QParams(scale, zero_point, replace(given.spec, granularity=each))
