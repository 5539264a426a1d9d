"""Round the weights of a layer so that its output changes least."""

import numpy as np
import onnx_ir as ir

from qcore import FloatFormat, Gram, QParams
from qcore.adapters.onnx.graph.constants import array_of
from qcore.adapters.onnx.neighbours import Neighbours
from qcore.adapters.onnx.recovery.geometry import Geometry
from qcore.adapters.onnx.recovery.layers import Layer
from qcore.recovery import gptq
from qcore.recovery.each_weight import each_weight


def rounded_codes(
    layer: Layer, geometry: Geometry, weight: np.ndarray, gram: Gram
) -> np.ndarray | None:
    """
    Return other codes of a layer's weight, as they are stored.

    None where other nodes read them, too, whose inputs differ.

    Parameters
    ----------
    layer : Layer
        Whose codes shall change.
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
        return None
    rows = geometry.by_output(weight).astype(np.float32)
    found = gptq(
        rows,
        gram,
        _grid(layer, geometry),
        center=True,
        limits=_limits(layer, geometry),
    )
    found = np.ascontiguousarray(geometry.as_stored(found))
    is_float = isinstance(layer.weight.qparams.spec.format, FloatFormat)
    dtype = array_of(codes).dtype
    # The codes of floats are bit patterns.
    return found.view(dtype) if is_float else found.astype(dtype)


def _limits(layer: Layer, geometry: Geometry) -> tuple[np.ndarray, np.ndarray] | None:
    """Return what keeps codes of int8 small side by side, if they are."""
    codes = array_of(layer.weight.codes)
    neighbours = Neighbours(geometry.node, geometry.shape)
    if codes.dtype != np.int8 or neighbours.exceed(codes):
        return None
    return neighbours.limits(geometry.by_output(codes))


def set_codes(layer: Layer, new: np.ndarray) -> None:
    """Give a layer other codes of its weight."""
    codes = layer.weight.codes
    codes.const_value = ir.tensor(new, name=codes.name)


def multiplied(layer: Layer, geometry: Geometry, codes: np.ndarray) -> np.ndarray:
    """Return ``[outputs, inputs, *kernel]`` of what such codes stand for, float64."""
    rows = geometry.by_output(codes)
    qparams = _grid(layer, geometry)
    scale = np.asarray(qparams.scale, np.float64)
    weight: np.ndarray = (rows.astype(np.float64) - qparams.zero_point) * scale
    return weight


def _grid(layer: Layer, geometry: Geometry) -> QParams:
    given = layer.weight.qparams
    return each_weight(given, geometry.shape, geometry.by_output, xp=np)
