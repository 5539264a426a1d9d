"""Keys and values of attention, kept in codes of at most 8 bits.

The scales are static. What a step adds is quantized once; attention sees what the codes
stand for.
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Self

import jax
import jax.numpy as jnp

from qcore import PerBlock, QParams, dequantize, quantize
from qcore.pack import pack_rows, unpack_rows

AXIS = -2
"""Of positions; the last axis holds the numbers of each."""


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["codes", "qparams"],
    meta_fields=["width"],
)
@dataclass(frozen=True)
class CodeStore:
    """
    Codes of data of shape ``[…, positions, width]``.

    Attributes
    ----------
    codes : array
        ``[…, max_length, width]``, int8 or uint8; codes of fewer than 8 bits are packed
        along the last axis, those of a position to whole bytes.
    qparams : QParams
        Static scales.
    width : int
        Numbers of a position.
    """

    codes: jax.Array
    qparams: QParams
    width: int

    @classmethod
    def empty(cls, qparams: QParams, shape: tuple[int, ...], /) -> Self:
        """Return room for data of a shape."""
        _check_static(qparams, shape)
        rows = jax.eval_shape(lambda: _rows(jnp.zeros(shape), qparams))
        return cls(jnp.zeros(rows.shape, rows.dtype), qparams, shape[-1])

    def written(self, x: jax.Array, start: jax.Array, fits: Any, /) -> Self:
        """Return the store with data from a position on; as it is unless that fits."""
        expected = (*self.codes.shape[:AXIS], x.shape[AXIS], self.width)
        if tuple(x.shape) != expected:
            raise ValueError(
                f"data must have the shape {expected}, of what is held but for the "
                f"positions; got {tuple(x.shape)}."
            )
        rows = _rows(x, self.qparams)
        axis, new = self.codes.ndim + AXIS, x.shape[AXIS]
        old = jax.lax.dynamic_slice_in_dim(self.codes, start, new, axis)
        rows = jnp.where(fits, rows, old)  # so that XLA can write in place
        codes = jax.lax.dynamic_update_slice_in_dim(self.codes, rows, start, axis)
        return replace(self, codes=codes)

    def read(self, dtype: Any, /) -> jax.Array:
        """Return what the codes stand for."""
        fmt = self.qparams.spec.format
        codes = unpack_rows(self.codes, fmt, self.width, xp=jnp)
        found: jax.Array = dequantize(codes, self.qparams, xp=jnp)
        return found.astype(dtype)


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["keys", "values", "length"],
    meta_fields=[],
)
@dataclass(frozen=True)
class KVCache:
    """
    The keys and values of a layer of attention, in codes; a pytree, never changed.

    It can be an argument of a compiled function (donate it, and XLA writes in place),
    the carry of a scan over steps, and stacked over layers that are scanned.

    Attributes
    ----------
    keys, values : CodeStore
        The codes and their scales. Traced, but for widths and specs.
    length : array
        int32, 0-d: positions held. Traced.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from qcore import QuantSpec, qparams_from_amax
    >>> from qcore.adapters.jax import KVCache
    >>> scales = qparams_from_amax(jnp.float32(4.0), QuantSpec("int8"))
    >>> cache = KVCache.empty(scales, scales, (1, 2, 16, 8))
    >>> cache = cache.append(jnp.ones((1, 2, 3, 8)), jnp.ones((1, 2, 3, 8)))
    >>> int(cache.length), cache.max_length, cache.nbytes
    (3, 16, 512)
    """

    keys: CodeStore
    values: CodeStore
    length: jax.Array

    @classmethod
    def empty(
        cls,
        keys: QParams,
        values: QParams,
        shape: tuple[int, ...],
        /,
        *,
        value_width: int | None = None,
    ) -> Self:
        """
        Return a cache that holds nothing.

        Parameters
        ----------
        keys, values : QParams
            Of at most 8 bits: one scale, or, of the rank of the data, any axes kept but
            those of positions and of the batch, which is the first.
        shape : tuple of int
            Of all keys that fit, ``[…, max_length, width]``, most often
            ``[batch, heads, max_length, width]``. Static.
        value_width : int, optional
            Of values; by default that of keys.

        Raises
        ------
        ValueError
            If scales are others.
        """
        shape = tuple(shape)
        of_values = (*shape[:-1], value_width or shape[-1])
        return cls(
            CodeStore.empty(keys, shape),
            CodeStore.empty(values, of_values),
            jnp.zeros((), jnp.int32),
        )

    def append(self, keys: jax.Array, values: jax.Array, /) -> "KVCache":
        """
        Return a cache that holds more positions.

        Parameters
        ----------
        keys, values : array
            Floating-point, ``[…, new positions, width]``; traced. NaN, which nothing
            looks for, becomes the lowest code.

        Returns
        -------
        KVCache
            Where the length is traced and positions do not fit, as it was.

        Raises
        ------
        ValueError
            If they do not fit each other or what is held, or do not fit in.
        """
        if keys.shape[:-1] != values.shape[:-1]:
            raise ValueError(
                "`keys` and `values` must have one shape but for the width; got "
                f"{tuple(keys.shape)} and {tuple(values.shape)}."
            )
        new, room = keys.shape[AXIS], self.max_length
        is_known = not isinstance(self.length, jax.core.Tracer)
        held = int(self.length) if is_known else 0
        if held + new > room:
            raise ValueError(
                f"`keys` must fit in {room} positions; {held} are held, {new} come."
            )
        fits = self.length + new <= room
        return KVCache(
            self.keys.written(keys, self.length, fits),
            self.values.written(values, self.length, fits),
            jnp.where(fits, self.length + new, self.length),
        )

    def read(self, dtype: Any = jnp.float32, /) -> tuple[jax.Array, jax.Array]:
        """
        Return keys and values, of a dtype, ``[…, max_length, width]``.

        Those where `mask` is false mean nothing.
        """
        return self.keys.read(dtype), self.values.read(dtype)

    @property
    def mask(self) -> jax.Array:
        """Which positions are held, bool ``[max_length]``."""
        return jnp.arange(self.max_length) < self.length

    @property
    def max_length(self) -> int:
        """Positions that fit."""
        return int(self.keys.codes.shape[AXIS])

    @property
    def nbytes(self) -> int:
        """Bytes of all codes; scales are left out."""
        return int(self.keys.codes.nbytes + self.values.codes.nbytes)

    def crop(self, length: Any, /) -> "KVCache":
        """Return a cache that holds the first positions only, an int or int32."""
        return replace(self, length=jnp.minimum(self.length, length).astype(jnp.int32))

    def reorder(self, index: jax.Array, /) -> "KVCache":
        """Return a cache of other entries of the batch, int ``[new batch]``."""
        keys, values = (
            replace(one, codes=jnp.take(one.codes, index, axis=0))
            for one in (self.keys, self.values)
        )
        return KVCache(keys, values, self.length)


def _rows(x: jax.Array, qparams: QParams) -> jax.Array:
    """Return the codes of data, those of a position packed to whole bytes."""
    rows: jax.Array = pack_rows(
        quantize(x, qparams, xp=jnp), qparams.spec.format, xp=jnp
    )
    return rows


def _check_static(qparams: QParams, shape: tuple[int, ...]) -> None:
    """Raise unless scales are those of every position of every batch."""
    spec, found = qparams.spec, tuple(qparams.scale.shape)
    if spec.format.bits > 8:
        raise ValueError(
            f"`qparams` must be of at most 8 bits; got {spec.format.name}."
        )
    is_static = qparams.scale.size == 1 or (
        len(found) == len(shape) and found[AXIS] == found[0] == 1
    )
    if isinstance(spec.granularity, PerBlock) or not is_static:
        raise ValueError(
            "`qparams` must have one scale for all positions and all batches; got "
            f"scales of shape {found} for {spec.granularity}."
        )
