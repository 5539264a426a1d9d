"""How weights and biases become codes."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from qcore import (
    Histogram,
    PerChannel,
    PerTensor,
    QParams,
    QuantSpec,
    calibrate,
    qparams_from_data,
    qparams_from_weights,
    quantize,
)

OUTPUT = "output"
"""The weights' own method, `qcore.qparams_from_weights`."""

BINS = 512  # a channel has hundreds of weights, rarely more
LEAST_SCALE = 2.0**-125  # what products of scales must reach, so as to be normal floats
MOST_CODES = 2.0**31 * (1 - 2**-20)  # less than int32's, for scales are rounded too


class Stored(NamedTuple):
    """A constant as ``(codes - zero_point) * scale``.

    Scale and zero point have shape ``[]`` or ``[channels]``; no zero point is 0.
    """

    codes: np.ndarray
    scale: np.ndarray
    zero_point: np.ndarray | None


@dataclass(frozen=True)
class WeightSpec:
    """How weights are to be quantized.

    Attributes
    ----------
    codes : str
        ``"int8"`` with zero point 0, or ``"uint8"`` with 128: the same numbers.
    method : str
        ``"output"`` changes the layer's output least; ``"minmax"``; or any method that
        decides from a histogram.
    per_channel : bool
        One scale for each output channel, or one for all.
    bias_codes : bool
        Whether biases become codes, too.
    """

    codes: str
    method: str
    per_channel: bool
    bias_codes: bool = True

    def store(
        self,
        weight: np.ndarray,
        axis: int | None,
        x_scale: np.ndarray,
        bias: np.ndarray | None,
        mean_ratio: float = 0.0,
    ) -> Stored:
        """Return a weight in 8 bits.

        Parameters
        ----------
        weight : array
            float32 or float16, which its scales are, too.
        axis : int or None
            The axis of the output channels, if there is one.
        x_scale : array
            The scale of the activations it will be multiplied by, 0-d.
        bias : array or None
            ``[channels]``; scales leave it room in 32 bits.
        mean_ratio : float, optional
            Squared mean over variance of the activations, for the method ``"output"``.
        """
        granularity = (
            PerChannel(axis) if self.per_channel and axis is not None else None
        )
        qparams = self._qparams(weight, granularity or PerTensor(), mean_ratio)
        least = _least_scale(bias, x_scale)
        scale = np.maximum(
            qparams.scale.reshape(-1), least if granularity else least.max()
        )
        scale = _up(scale, weight.dtype)
        qparams = QParams(
            scale.astype(np.float32).reshape(qparams.scale.shape),
            qparams.zero_point,
            qparams.spec,
        )
        codes = quantize(weight, qparams)
        zero_point = np.zeros_like(scale, np.int8)
        if self.codes == "uint8":  # flipping the sign bit adds 128
            codes, zero_point = (x.view(np.uint8) ^ 128 for x in (codes, zero_point))
        shape = (-1,) if granularity else ()
        return Stored(codes, scale.reshape(shape), zero_point.reshape(shape))

    def _qparams(
        self,
        weight: np.ndarray,
        granularity: PerTensor | PerChannel,
        mean_ratio: float,
    ) -> QParams:
        spec = QuantSpec(granularity=granularity)
        if self.method == OUTPUT:
            return qparams_from_weights(weight, spec, mean_ratio=mean_ratio)
        if self.method == "minmax":
            return qparams_from_data(weight, spec)
        histogram = Histogram.of(weight, bins=BINS, granularity=granularity)
        return calibrate(histogram, spec, self.method)


def _least_scale(bias: np.ndarray | None, x_scale: np.ndarray) -> np.ndarray:
    """Return the smallest scales, ``[1]`` or ``[channels]``, that leave the bias room.

    A bias has the scale of the products it is added to. Where the weights of a channel
    are all but zero, its codes would exceed 32 bits.
    """
    least = np.zeros(1) if bias is None else np.abs(bias) / MOST_CODES
    return (np.maximum(least, LEAST_SCALE) / np.float64(x_scale)).astype(np.float32)


def _up(scale: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return scales in a dtype, none smaller than it was."""
    rounded = scale.astype(dtype)
    above = np.nextafter(rounded, dtype.type(np.inf))
    return np.where(rounded < scale, above, rounded)


def store_bias(bias: np.ndarray, scale: np.ndarray) -> Stored:
    """Return a bias in 32 bits, for which ONNX has no zero point."""
    codes = np.rint(bias / scale.astype(np.float64))
    return Stored(codes.astype(np.int32), scale, None)
