"""Which scale an element of contiguous data has, and what a format is to kernels."""

from ctypes import c_float, c_int32, c_uint64
from dataclasses import dataclass
from math import prod

from qcore.arithmetic import dtype_name
from qcore.backends.cuda.device import Argument, Array
from qcore.formats import FloatFormat, Format
from qcore.granularity import Granularity, PerBlock, PerChannel, normalize_axes
from qcore.kernels import Declined, declined
from qcore.spec import QuantSpec


@dataclass(frozen=True)
class Layout:
    """The shape of data as the kernels see it: outer, length, inner.

    The scales lie along the middle axis: one for each of its `length` indices where
    `size` is 0, else one for each `size` of them.

    Parameters
    ----------
    channels : int
        How many scales there are.
    """

    outer: int
    length: int
    inner: int
    size: int
    channels: int

    @property
    def blocks(self) -> int:
        """How many blocks the middle axis has."""
        return -(-self.length // self.size) if self.size else self.length

    def is_uniform(self, width: int) -> bool:
        """Whether runs of `width` elements share a scale, the first one at 0."""
        if self.channels == 1 or not self.size:
            return self.channels == 1 or self.inner % width == 0
        return self.inner == 1 and self.size % width == self.length % width == 0

    def arguments(self) -> list[Argument]:
        """Return what the kernels take for it."""
        numbers = (self.inner, self.channels, self.length, self.size, self.blocks)
        return [c_uint64(number) for number in numbers]


def layout_for(
    scale: Array, zero_point: Array, shape: tuple[int, ...], spec: QuantSpec
) -> Layout | Declined:
    """Return where the scales of data of a shape lie, or decline."""
    if tuple(scale.shape) != tuple(zero_point.shape):
        return declined("scales and zero points of different shapes")
    if (dtype_name(scale.dtype), dtype_name(zero_point.dtype)) != ("float32", "int32"):
        return declined("scales or zero points of another dtype")
    if spec.rounding != "half_even":
        return declined(f"rounding {spec.rounding}")
    if isinstance(spec.format, FloatFormat) and not spec.format.signed:
        return declined(f"format {spec.format.name}")
    if 0 in shape:
        return declined("no data")
    return _layout_of(spec.granularity, shape, scale.ndim == 0)


def _layout_of(
    granularity: Granularity, shape: tuple[int, ...], is_single: bool
) -> Layout | Declined:
    if is_single:
        return Layout(1, 1, prod(shape), 0, 1)
    if isinstance(granularity, PerBlock):
        (cut,) = normalize_axes(granularity.axis, len(shape))
        channels = prod(granularity.scale_shape(shape))
        outer, inner = prod(shape[:cut]), prod(shape[cut + 1 :])
        return Layout(outer, shape[cut], inner, granularity.size, channels)
    if not isinstance(granularity, PerChannel):
        return declined("a granularity without a layout")
    axes = normalize_axes(granularity.axis, len(shape))
    kept = [axis for axis in axes if shape[axis] > 1]
    first, end = kept[0], kept[-1] + 1
    channels = prod(shape[axis] for axis in kept)
    if channels != prod(shape[first:end]):
        return declined("channels along axes that are apart")
    return Layout(prod(shape[:first]), channels, prod(shape[end:]), 0, channels)


def format_arguments(fmt: Format) -> list[Argument]:
    """Return what the kernels take for a format: see steps.cu."""
    if isinstance(fmt, FloatFormat):
        nan = -1 if fmt.nan_code is None else fmt.nan_code
        numbers = (0, fmt.max_code, fmt.mantissa, fmt.min_exponent, fmt.bits, nan)
        return [*map(c_int32, numbers), c_float(fmt.max)]
    return [*map(c_int32, (fmt.qmin, fmt.qmax, 0, 0, 0, -1)), c_float(0)]


def format_macros(fmt: Format) -> tuple[str, ...]:
    """Return the macros that choose the kernels of a format."""
    return (f"FLOAT_FORMAT={int(isinstance(fmt, FloatFormat))}",)
