"""JAX: counts of slots and of exponents by one scatter, from the patterns of floats."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from qcore.statistics.tally import EXPONENTS, Tally, least_k, tally, to_float32

NAME = "jax.numpy"
_MAGNITUDE, _INFINITY, _BIAS, _FRACTION_BITS = 0x7FFFFFFF, 0x7F800000, 127, 23


@tally.accelerate(NAME, traceable=True)
def _(rows: jax.Array, /, *given: Any) -> Any:
    """Count in one pass: 3 ns a value on one thread where the portable form takes 60.

    The exponent is read, not searched for. What slot 0 holds is counted by exponent
    alone, for its count is the sum of those.
    """
    return _counted(rows, *given) if rows.shape[1] else NotImplemented


@partial(jax.jit, static_argnums=3, inline=True)
def _counted(
    rows: jax.Array,
    keep: jax.Array | None,
    weights: jax.Array | None,
    slots: int,
    k: jax.Array | None,
) -> Tally:
    channels, columns = rows.shape
    x = to_float32(rows, xp=jnp)
    pattern = jax.lax.bitcast_convert_type(x, jnp.int32)
    magnitude = pattern & _MAGNITUDE
    exponent = magnitude >> _FRACTION_BITS
    is_finite = magnitude < _INFINITY
    if keep is not None:
        is_finite = is_finite & keep
    has_slot = is_finite & (exponent > 0)

    value = jnp.where(has_slot, x, 0)
    low = jnp.min(jnp.where(is_finite, value, jnp.inf), axis=1)
    high = jnp.max(jnp.where(is_finite, value, -jnp.inf), axis=1)
    amax = jnp.maximum(jnp.maximum(-low, high), 0)
    least = least_k(amax, slots, xp=jnp)
    k = least if k is None else jnp.maximum(least, k.astype(jnp.int64))
    k = k.astype(jnp.int32)
    inverse = jax.lax.bitcast_convert_type((_BIAS - k) << _FRACTION_BITS, jnp.float32)
    slot = (jnp.abs(value) * inverse[:, None]).astype(jnp.int32)

    # Of each sign a place for each exponent, for each slot and for NaN; and a last one.
    # XLA adds up numbers of zeros, NaN and infinity apart in four times the time.
    width = EXPONENTS + slots + 1
    places = 2 * channels * width
    index = jnp.int32 if places < 2**31 else jnp.int64
    row = jnp.arange(channels, dtype=index)[:, None]
    place = jnp.where(slot == 0, exponent, EXPONENTS + slot)
    place = jnp.where(magnitude > _INFINITY, width - 1, place).astype(index)
    place = place + (2 * row + (pattern >= 0)) * width
    if keep is not None:
        place = jnp.where(keep, place, places)
    # Fewer values than 2**31 are counted in 32 bits, which is faster.
    once = jnp.int32(1) if channels * columns < 2**31 else jnp.int64(1)
    amount = once if weights is None else weights.reshape(-1)
    found = jnp.zeros(places + 1, amount.dtype)
    found = found.at[place.reshape(-1)].add(amount, mode="promise_in_bounds")
    found = found[:-1].reshape(channels, 2, width).astype(jnp.int64)
    exponents, counts = found[..., :EXPONENTS], found[..., EXPONENTS:-1]
    zeros, infs = exponents[..., 0], exponents[..., -1]
    exponents = exponents.at[..., 0].set(0).at[..., -1].set(0)
    return Tally(
        counts=counts.at[..., 0].set(exponents.sum(axis=-1)),
        exponents=exponents,
        k=k,
        min=low,
        max=high,
        zeros=zeros.sum(axis=1),
        nans=found[..., -1].sum(axis=1),
        infs=infs,
    )
