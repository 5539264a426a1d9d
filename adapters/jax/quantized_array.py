"""An array held as codes and scales: a leaf of parameters that is a pytree itself."""

from dataclasses import dataclass, field, replace
from math import prod

import jax
import jax.numpy as jnp

from qcore import (
    PerBlock,
    PerChannel,
    QParams,
    QuantSpec,
    decode_scales,
    dequantize,
    encode_scales,
    quantize,
)
from qcore.adapters.jax.arguments import check_floating_array, check_qparams_kind
from qcore.granularity import Granularity, normalize_axes
from qcore.pack import pack_rows, unpack_rows


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class QuantizedArray:
    """
    Codes and scales in the place of an array.

    It is a pytree: its arrays are traced, `spec`, `length` and `dtype` are static. A
    loop may scan over its first axis where the scales have that axis, too.

    Attributes
    ----------
    codes : array
        As `qcore.quantize` gives them. Those of fewer than 8 bits are packed along the
        last axis, each row to whole bytes: uint8 ``[..., ceil(length * bits / 8)]``.
    scale : array
        Of the rank of the data. If the spec has a scale format, its bytes, as
        `qcore.encode_scales` gives them.
    zero_point : array or None
        int32, of the shape of `scale`; None where the spec is symmetric.
    global_scale : array or None
        As in `QParams`.
    spec : QuantSpec
        Its axes are counted from the last one. Static.
    length : int
        Of the last axis. Static.
    dtype : numpy.dtype
        Of the array that was quantized. Static.
    """

    codes: jax.Array
    scale: jax.Array
    zero_point: jax.Array | None
    global_scale: jax.Array | None
    spec: QuantSpec = field(metadata={"static": True})
    length: int = field(metadata={"static": True})
    dtype: jnp.dtype = field(metadata={"static": True})

    @classmethod
    def of(cls, x: jax.Array, qparams: QParams, /) -> "QuantizedArray":
        """
        Return an array quantized.

        Parameters
        ----------
        x : array
            Floating-point, of at least one axis.
        qparams : QParams
            Its scales.

        Raises
        ------
        TypeError
            If `x` is not floating-point, or `qparams` are something else.
        ValueError
            If `x` has no axis, or the scales do not fit its shape.
        """
        check_floating_array(x, "`x`")
        check_qparams_kind(qparams, "`qparams`")
        if x.ndim == 0:
            raise ValueError("`x` must have at least one axis; got a single number.")
        spec = qparams.spec
        codes = pack_rows(quantize(x, qparams, xp=jnp), spec.format, xp=jnp)
        scale = qparams.scale.reshape(spec.granularity.scale_shape(x.shape))
        zero_point = None
        if not spec.symmetric:
            zero_point = qparams.zero_point.reshape(scale.shape)
        global_scale = qparams.global_scale
        if spec.scale_format is not None:
            whole = QParams(scale, jnp.zeros_like(scale, jnp.int32), spec, global_scale)
            scale, global_scale = encode_scales(whole, xp=jnp)
        granularity = _from_the_end(spec.granularity, x.ndim)
        spec = replace(spec, granularity=granularity)
        return cls(codes, scale, zero_point, global_scale, spec, x.shape[-1], x.dtype)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the array that was quantized."""
        return (*self.codes.shape[:-1], self.length)

    @property
    def ndim(self) -> int:
        """How many axes it has."""
        return self.codes.ndim

    @property
    def size(self) -> int:
        """How many elements it has."""
        return prod(self.shape)

    @property
    def qparams(self) -> QParams:
        """The scales it was quantized with."""
        scale = self.scale
        if self.spec.scale_format is not None:
            scale = decode_scales(scale, self.spec, self.global_scale, xp=jnp)
        zero_point = self.zero_point
        if zero_point is None:
            zero_point = jnp.zeros_like(scale, jnp.int32)
        spec, granularity = self.spec, self.spec.granularity
        if isinstance(granularity, PerChannel):
            # A loop takes leading axes away.
            axes = granularity.axis
            axes = (axes,) if isinstance(axes, int) else axes
            kept = tuple(axis for axis in axes if axis >= -self.ndim)
            spec = replace(spec, granularity=PerChannel(kept))
        return QParams(scale, zero_point, spec, self.global_scale)

    def dequantize(self) -> jax.Array:
        """Return the array its codes stand for, in the dtype it had."""
        codes = unpack_rows(self.codes, self.spec.format, self.length, xp=jnp)
        found: jax.Array = dequantize(codes, self.qparams, xp=jnp)
        return found.astype(self.dtype)


def _from_the_end(granularity: Granularity, ndim: int) -> Granularity:
    """Return a granularity of the same meaning where leading axes are gone."""
    if isinstance(granularity, PerBlock):
        (axis,) = normalize_axes(granularity.axis, ndim)
        return PerBlock(axis - ndim, granularity.size)
    if isinstance(granularity, PerChannel):
        kept = normalize_axes(granularity.axis, ndim)
        return PerChannel(tuple(axis - ndim for axis in kept))
    return granularity
