"""Round the weight of a layer so that its output changes least."""

from dataclasses import replace

import numpy as np

from qcore import Gram, PerChannel, QParams, dequantize
from qcore.adapters.jax.recovery.layout import Layout
from qcore.recovery import gptq


def recovered_weight(
    layout: Layout, weight: np.ndarray, qparams: QParams, gram: Gram, /, *, center: bool
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
    """
    grid = _by_output(layout, qparams)
    codes = gptq(layout.by_output(weight), gram, grid, center=center)
    return np.asarray(dequantize(codes, grid))


def _by_output(layout: Layout, qparams: QParams) -> QParams:
    """Return the scale and zero point of each weight, by output."""
    expand = qparams.spec.granularity.expand
    scale, zero_point = (
        layout.by_output(np.broadcast_to(expand(x, layout.shape, xp=np), layout.shape))
        for x in (qparams.scale, qparams.zero_point)
    )
    each = PerChannel(tuple(range(scale.ndim)))
    return QParams(scale, zero_point, replace(qparams.spec, granularity=each))
