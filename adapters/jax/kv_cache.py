"""Keys and values of attention, kept in codes of at most 8 bits.

The scales are static. What a step adds is quantized once; attention sees what the codes
stand for.
"""

from dataclasses import dataclass, replace
from functools import partial
from numbers import Integral
from typing import Any, Self

import jax
import jax.numpy as jnp

from qcore import QParams
from qcore.adapters.jax.arguments import check_floating_array
from qcore.adapters.jax.code_store import AXIS, CodeStore


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
        ValueError, TypeError
            If scales are others, or sizes are not positive integers.
        """
        _check_shape(shape, value_width)
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
        ValueError, TypeError
            If they are not floating-point, do not fit each other or what is held, or do
            not fit in.
        """
        for name, x in (("keys", keys), ("values", values)):
            check_floating_array(x, f"`{name}`")
        if keys.shape[:-1] != values.shape[:-1]:
            raise ValueError(
                "`keys` and `values` must have one shape but for the width; got "
                f"{tuple(keys.shape)} and {tuple(values.shape)}."
            )
        new, room = keys.shape[AXIS], self.max_length
        held = int(self.length) if _is_known(self.length) else 0
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
        """
        Return a cache that holds the first positions only.

        Parameters
        ----------
        length : int or array
            How many, 0-d int32. Traced; less than none are none then, and more than are
            held are these.

        Raises
        ------
        TypeError
            If it is no integer.
        ValueError
            If so many are not held.
        """
        _check_integers("length", length, 0)
        if _is_known(length, self.length):
            held = int(jnp.min(self.length))
            if not 0 <= int(length) <= held:
                raise ValueError(
                    f"`length` must be from 0 to {held}, the positions held; got "
                    f"{int(length)}."
                )
        kept = jnp.clip(length, 0, self.length)
        return replace(self, length=kept.astype(jnp.int32))

    def reorder(self, index: jax.Array, /) -> "KVCache":
        """
        Return a cache of other entries of the batch.

        Parameters
        ----------
        index : array
            Of each new entry the old one, int32 ``[new batch]``, negative from the end.
            Traced; entries beyond the batch mean nothing then.

        Raises
        ------
        TypeError
            If it holds no integers, or has other axes.
        ValueError
            If an entry is beyond the batch.
        """
        _check_integers("index", index, 1)
        batch = self.keys.codes.shape[0]
        if _is_known(index) and not all(-batch <= int(i) < batch for i in index):
            raise ValueError(
                f"`index` must be of entries of a batch of {batch}; got "
                f"{index.tolist()}."
            )
        keys, values = (
            replace(one, codes=jnp.take(one.codes, index, axis=0))
            for one in (self.keys, self.values)
        )
        return KVCache(keys, values, self.length)


def _is_known(*arrays: Any) -> bool:
    return not any(isinstance(x, jax.core.Tracer) for x in arrays)


def _check_integers(name: str, x: Any, ndim: int) -> None:
    """Raise TypeError unless something is integers of so many axes."""
    if ndim == 0 and isinstance(x, int) and not isinstance(x, bool):
        return
    dtype, shape = getattr(x, "dtype", None), getattr(x, "shape", None)
    if dtype is None or shape is None:
        found = type(x).__name__
    elif len(shape) == ndim and jnp.issubdtype(dtype, jnp.integer):
        return
    else:
        found = f"{dtype} of shape {tuple(shape)}"
    raise TypeError(f"`{name}` must be integers of {ndim} axes; got {found}.")


def _check_shape(shape: Any, width: Any) -> None:
    """Raise TypeError unless a shape of keys and a width of values are such."""
    sizes = shape if isinstance(shape, tuple | list) else ()
    if len(sizes) < 2 or not all(map(_is_size, sizes)):
        raise TypeError(
            "`shape` must be positive integers, those of positions and of the width "
            f"last; got {shape!r}."
        )
    if not (width is None or _is_size(width)):
        raise TypeError(f"`value_width` must be a positive integer; got {width!r}.")


def _is_size(n: Any) -> bool:
    return isinstance(n, Integral) and not isinstance(n, bool) and int(n) > 0
