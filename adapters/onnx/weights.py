"""How weights become codes."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import onnx_ir as ir

from qcore import (
    FloatFormat,
    Histogram,
    IntFormat,
    PerBlock,
    PerChannel,
    PerTensor,
    QParams,
    QuantSpec,
    block_spec,
    calibrate,
    fake_quantize,
    parse_format,
    qparams_from_data,
    qparams_from_weights,
    quantize,
)
from qcore.adapters.onnx.bias_codes import with_room
from qcore.adapters.onnx.graph.nodes import dtype_of
from qcore.adapters.onnx.neighbours import Neighbours
from qcore.adapters.onnx.recipe import ONE_VALUE
from qcore.adapters.onnx.stored import Stored
from qcore.arithmetic import TINY
from qcore.block_formats import BLOCK_FORMATS
from qcore.errors import QuantError
from qcore.granularity import Granularity

OUTPUT = "output"
"""The weights' own method, `qcore.qparams_from_weights`."""

BINS = 512  # a channel has hundreds of weights, rarely more


@dataclass(frozen=True)
class WeightSpec:
    """How weights are to be quantized.

    Attributes
    ----------
    codes : str
        Format of the codes. Zero points are 0; those of unsigned integers are the
        middle, so that they stand for the numbers of the signed ones.
    method : str
        ``"output"`` changes the layer's output least; ``"minmax"``; or any method that
        decides from a histogram.
    per_channel : bool
        One scale for each output channel, or one for all.
    bias_codes : bool
        Whether biases become codes, too.
    block : int or None
        So many weights of a channel share a scale, the last of them maybe fewer, where
        it has more than that.
    options : mapping
        Of a method that decides from a histogram.
    adds_in_16_bits : bool
        Whether kernels do, if two codes are of int8; see `Neighbours`.
    """

    codes: str
    method: str
    per_channel: bool
    bias_codes: bool = True
    block: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    adds_in_16_bits: bool = False

    def check(self) -> None:
        """Refuse what is no way to choose ranges of weights."""
        if self.method != OUTPUT:
            calibrate(ONE_VALUE, QuantSpec(), self.method, **self.options)
        elif self.options:
            names = ", ".join(self.options)
            raise QuantError(f"{OUTPUT!r} has no options; got {names}.")

    def store(
        self,
        weight: np.ndarray,
        axis: int | None,
        x_scale: np.ndarray | None = None,
        bias: np.ndarray | None = None,
        *,
        mean_ratio: float = 0.0,
        block_axis: int | None = None,
        neighbours: Neighbours | None = None,
    ) -> Stored:
        """Return a weight in codes.

        Parameters
        ----------
        weight : array
            float32 or float16, which its scales are, too.
        axis : int or None
            The axis of the output channels, if there is one.
        x_scale : array or None, optional
            The scale of the activations it will be multiplied by, 0-d, if they have
            one.
        bias : array or None, optional
            ``[channels]``; scales leave it room in 32 bits.
        mean_ratio : float, optional
            Squared mean over variance of the activations, for the method ``"output"``.
        block_axis : int or None, optional
            The axis that products are summed along, which may be cut into blocks.
        neighbours : Neighbours or None, optional
            Which weights are multiplied side by side.
        """
        granularity = self._granularity(weight, axis, block_axis)
        least = None
        if neighbours and self.adds_in_16_bits and self.codes == "int8":
            least = neighbours.least_scales(weight)
        qparams = self._qparams(weight, granularity, mean_ratio, least)
        scale, size = qparams.scale, None
        if isinstance(granularity, PerBlock):
            axis, size = granularity.axis, granularity.size
        elif isinstance(granularity, PerChannel):
            scale = scale.reshape(-1)
        else:
            scale, axis = scale.reshape(()), None
        if x_scale is not None:
            scale = with_room(scale, bias, x_scale, is_free=_all_zero(weight, axis))
        if least is not None:
            scale = np.maximum(scale, least if scale.ndim else least.max())
        scale = _up(scale, weight.dtype)
        wide = scale.astype(np.float32).reshape(qparams.scale.shape)
        qparams = QParams(wide, qparams.zero_point, qparams.spec)
        codes, zero_point = self._in_type(quantize(weight, qparams), shape_of=scale)
        return Stored(codes, scale, zero_point, axis, size)

    def round(
        self,
        weight: np.ndarray,
        axis: int | None,
        *,
        mean_ratio: float = 0.0,
        block_axis: int | None = None,
    ) -> np.ndarray:
        """Return a weight as floats, rounded to what its codes would stand for.

        The parameters are those of `store`; block formats are taken, too.
        """
        granularity = self._granularity(weight, axis, block_axis)
        qparams = self._qparams(weight, granularity, mean_ratio)
        rounded: np.ndarray = fake_quantize(weight, qparams)
        return rounded

    def _granularity(
        self, weight: np.ndarray, axis: int | None, block_axis: int | None
    ) -> Granularity:
        """Return which weights share a scale: no fewer than a block, if that is asked.

        Along an axis shorter than a block, such as that of a convolution of each
        channel by itself, blocks would be single weights.
        """
        if self.codes in BLOCK_FORMATS:
            axis = -1 if block_axis is None else block_axis
            return block_spec(self.codes, axis).granularity
        size, cut = self.block, block_axis
        if size is not None and cut is not None and weight.shape[cut] > size:
            return PerBlock(cut, size)
        if (self.per_channel or self.block) and axis is not None:
            return PerChannel(axis)
        return PerTensor()

    def _in_type(
        self, codes: np.ndarray, *, shape_of: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return codes and zero points in the type of ONNX that holds the format."""
        fmt = parse_format(self.codes)
        dtype = dtype_of(fmt)
        if isinstance(fmt, FloatFormat):  # bit patterns, a byte each
            return codes.view(dtype), np.zeros(shape_of.shape, dtype)
        zero = 0 if fmt.signed else 1 << (fmt.bits - 1)
        held = (codes.astype(np.int32) + zero).astype(dtype)
        return held, np.full(shape_of.shape, zero).astype(dtype)

    def _qparams(
        self,
        weight: np.ndarray,
        granularity: Granularity,
        mean_ratio: float,
        least: np.ndarray | None = None,
    ) -> QParams:
        if self.codes in BLOCK_FORMATS:
            spec = replace(block_spec(self.codes), granularity=granularity)
        else:
            fmt = parse_format(self.codes)
            if isinstance(fmt, IntFormat):
                fmt = IntFormat(fmt.bits)
            spec = QuantSpec(fmt, granularity)
        if self.method == OUTPUT:
            if least is not None:
                least = least.astype(np.float32) * np.float32(spec.format.max)
                shape = granularity.scale_shape(weight.shape)
                is_shared = isinstance(granularity, PerTensor)
                least = least.max() if is_shared else least.reshape(shape)
            return qparams_from_weights(
                weight, spec, mean_ratio=mean_ratio, least=least
            )
        if self.method == "minmax" and not self.options:
            return qparams_from_data(weight, spec)
        histogram = Histogram.of(weight, bins=BINS, granularity=granularity)
        return calibrate(histogram, spec, self.method, **self.options)


@dataclass(frozen=True)
class WeightSpecs:
    """How each weight is to be quantized.

    Attributes
    ----------
    default : WeightSpec
        Unless something else was asked for.
    own : mapping
        What was, by the name of the constant.
    """

    default: WeightSpec
    own: Mapping[str, WeightSpec] = field(default_factory=dict)

    def of(self, weight: ir.Value) -> WeightSpec:
        """Return that of a constant."""
        return self.own.get(str(weight.name), self.default)


def _all_zero(weight: np.ndarray, axis: int | None) -> np.ndarray:
    """Return whether all weights of a channel, or all there are, count as zero."""
    others = tuple(i for i in range(weight.ndim) if i != axis)
    size: np.ndarray = np.abs(weight).max(axis=others, initial=0)
    return size < TINY


def _up(scale: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return scales in a dtype, none smaller than it was."""
    rounded = scale.astype(dtype)
    above = np.nextafter(rounded, dtype.type(np.inf))
    return np.where(rounded < scale, above, rounded)
