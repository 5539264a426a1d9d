"""What the inputs of a layer are, as the quantized layers before it make them."""

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from qcore import Gram, IntFormat, QParams, QuantSpec, quantize
from qcore.adapters.jax.recovery.layout import Layout
from qcore.recovery.fine_codes import fine_qparams


def gram_of_inputs(
    layout: Layout, inputs: Sequence[Any], qparams: QParams | None, every: int, /
) -> Gram:
    """
    Return the sums of products of a layer's inputs, over all calls.

    Parameters
    ----------
    layout : Layout
        Of the layer.
    inputs : sequence of array
        As they are multiplied, those of each call.
    qparams : QParams or None
        Those of the inputs, if they are static.
    every : int
        How far apart are the outputs to look at.
    """
    arrays = [as_float(x) for x in inputs]
    if qparams is None or not _has_codes(qparams):
        qparams = fine_qparams(arrays, xp=np)
    else:
        qparams = of_numpy(qparams)
    one = QParams(
        qparams.scale.reshape(()), qparams.zero_point.reshape(()), _single(qparams.spec)
    )
    window, found = layout.window(every), None
    for x in arrays:
        codes = layout.data(quantize(x, one), every)
        gram = Gram.of(np.ascontiguousarray(codes), one, window=window)
        found = gram if found is None else found.merge(gram)
    assert found is not None
    return found


def as_float(x: Any, /) -> np.ndarray:
    """Return an array of JAX in NumPy: float32, or float64 if it is that."""
    array = np.asarray(x)
    return array if array.dtype == np.float64 else array.astype(np.float32)


def of_numpy(qparams: QParams, /) -> QParams:
    """Return scales in NumPy; of integer and float formats alike."""
    scale = np.asarray(qparams.scale).astype(np.float32)
    return QParams(scale, np.asarray(qparams.zero_point), qparams.spec)


def _has_codes(qparams: QParams) -> bool:
    """Return whether all inputs are integers of one scale."""
    single = prod(qparams.scale.shape) == 1
    return single and isinstance(qparams.spec.format, IntFormat)


def _single(spec: QuantSpec) -> QuantSpec:
    return QuantSpec(spec.format, symmetric=spec.symmetric, rounding=spec.rounding)
