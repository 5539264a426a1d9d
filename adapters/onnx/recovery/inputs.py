"""What the inputs of a layer are, as the quantized layers before it make them."""

from dataclasses import replace

import numpy as np

from qcore import Gram, QParams, quantize
from qcore.adapters.onnx.recovery.geometry import Geometry
from qcore.adapters.onnx.recovery.held import Held
from qcore.adapters.onnx.recovery.layers import Layer
from qcore.recovery.fine_codes import fine_qparams


def gram_of_inputs(layer: Layer, geometry: Geometry, held: Held, most: int) -> Gram:
    """Return the sums of products of a layer's inputs, over all samples.

    Parameters
    ----------
    layer : Layer
        Whose input is held.
    geometry : Geometry
        Its own.
    held : Held
        Tensors by sample.
    most : int
        How many outputs of a channel to look at in each sample.
    """
    name = str(layer.x.name)
    floats = (held.get(sample, name) for sample in range(len(held)))
    qparams = layer.qparams or fine_qparams(floats, xp=np)
    grams = []
    for sample in range(len(held)):
        codes = held.get(sample, name)
        if layer.qparams is None:
            codes = quantize(codes, qparams)
        grams.append(gram_of_codes(codes, qparams, geometry, most))
        if len(grams) > 1:
            grams = [grams[0].merge(grams[1])]
    return grams[0]


def gram_of_codes(
    codes: np.ndarray, qparams: QParams, geometry: Geometry, most: int
) -> Gram:
    """Return the same of the codes of one sample."""
    if not geometry.kernel:
        rows = codes.reshape(-1, codes.shape[-1])
        return Gram.of(rows[:: geometry.every(codes.shape, most)], qparams)
    codes = geometry.padded(codes, int(qparams.zero_point))
    extents = codes.shape[2:]
    shape = (codes.shape[0], 1, *geometry.window(extents).outputs(extents))
    thinned = geometry.window(extents, geometry.every(shape, most))
    return replace(Gram.of(codes, qparams, window=thinned), window=thinned.patch)
