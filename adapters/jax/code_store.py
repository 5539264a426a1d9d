"""Codes of the keys, or of the values, of attention."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Self

import jax
import jax.numpy as jnp

from qcore import PerBlock, QParams, dequantize, quantize
from qcore.adapters.jax.arguments import check_qparams_kind
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


def _rows(x: jax.Array, qparams: QParams) -> jax.Array:
    """Return the codes of data, those of a position packed to whole bytes."""
    rows: jax.Array = pack_rows(
        quantize(x, qparams, xp=jnp), qparams.spec.format, xp=jnp
    )
    return rows


def _check_static(qparams: QParams, shape: tuple[int, ...]) -> None:
    """Raise unless scales are those of every position of every batch."""
    check_qparams_kind(qparams, "scales")
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
