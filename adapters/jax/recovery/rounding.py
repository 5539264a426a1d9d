"""Round the weight of a layer so that its output changes least."""

import numpy as np

from qcore import Gram, QParams, dequantize, quantize
from qcore.adapters.jax.recovery.layout import Layout
from qcore.recovery import gptq
from qcore.recovery.each_weight import each_weight


def recovered_weight(
    layout: Layout,
    weight: np.ndarray,
    qparams: QParams,
    gram: Gram,
    /,
    *,
    center: bool,
    keeps_ends: bool,
) -> np.ndarray:
    """
    Return what a weight becomes, ``[outputs, inputs, *kernel]``, float32.

    Parameters
    ----------
    layout : Layout
        Of the layer.
    weight : array
        As it is in floats.
    qparams : QParams
        Of NumPy, fitting the weight.
    gram : Gram
        Of the inputs.
    center : bool
        Whether a bias takes out the mean error that is left.
    keeps_ends : bool
        Whether the scales of the values must stay what they are.
    """
    grid = each_weight(qparams, layout.shape, layout.by_output, xp=np)
    rows = layout.by_output(weight)
    codes = gptq(rows, gram, grid, center=center)
    if keeps_ends:
        is_end = layout.by_output(_is_end(weight, qparams))
        codes = np.where(is_end, quantize(rows, grid), codes)
    return np.asarray(dequantize(codes, grid))


def _is_end(weight: np.ndarray, qparams: QParams) -> np.ndarray:
    """Return which weights are the least or the largest of those of one scale."""
    number = np.arange(qparams.scale.size).reshape(qparams.scale.shape)
    expand = qparams.spec.granularity.expand
    group = np.broadcast_to(expand(number, weight.shape, xp=np), weight.shape)
    ends = np.zeros(weight.shape, np.bool_)
    for reduce, none in ((np.minimum, np.inf), (np.maximum, -np.inf)):
        end = np.full(number.size, none)
        reduce.at(end, group, weight)
        ends |= weight == end[group]
    return ends
