"""Ends of ranges, and choosing among candidates for them."""

from math import prod

from array_api_compat import device as device_of

from qcore.kernels import Kernel
from qcore.spec import QuantSpec
from qcore.typing import Array, Device, Namespace

TIE = 1 + 1e-9
"""Objectives within this factor of the least are as good: their last bits differ."""


def spanned(
    low: Array, high: Array, spec: QuantSpec, /, *, xp: Namespace
) -> tuple[Array, Array]:
    """Return the ends widened to hold zero and, if symmetric, mirrored.

    Statistics that saw nothing have the ends ``inf`` and ``-inf`` and get an empty
    range at zero.
    """
    zero = xp.zeros_like(low)
    low, high = xp.minimum(low, zero), xp.maximum(high, zero)
    if spec.symmetric:
        amax = xp.maximum(-low, high) if spec.format.signed else high
        return mirrored(amax, spec, xp=xp)
    return low, high


def mirrored(amax: Array, spec: QuantSpec, /, *, xp: Namespace) -> tuple[Array, Array]:
    """Return the symmetric range that reaches to `amax`."""
    return (-amax if spec.format.signed else xp.zeros_like(amax)), amax


def strided(
    start: int, last: int, stride: int, device: Device, /, *, xp: Namespace
) -> Array:
    """Return every so many numbers from `start` on and up to `last`, int64."""
    start, stride = min(start, last), min(stride, last)
    numbers = xp.arange(start, last + stride, stride, dtype=xp.int64, device=device)
    return xp.minimum(numbers, xp.full_like(numbers, last))


def best_candidate(
    objective: Array, allowed: Array, noise: Array | float = 0.0, /, *, xp: Namespace
) -> Array:
    """Return the index of the chosen candidate of each row.

    Parameters
    ----------
    objective : array
        float64 ``[C, S]``, not negative, for ranges in ascending order.
    allowed : array
        Booleans of that shape.
    noise : array or float, optional
        ``[C, 1]``: objectives that differ by no more are as good.

    Returns
    -------
    array
        int64 ``[C]``: the largest range among those whose objective is at most
        ``min * TIE + noise``, so that the last bits, which differ between
        libraries, do not choose. NaN and infinity never win; where nothing does, -1.
    """
    usable = xp.logical_and(allowed, xp.isfinite(objective))
    infinity = xp.full_like(objective, float("inf"))
    least = xp.min(xp.where(usable, objective, infinity), axis=1, keepdims=True)
    is_best = xp.logical_and(usable, objective <= least * TIE + noise)
    return last_true(is_best, xp=xp)


def last_true(mask: Array, /, *, xp: Namespace) -> Array:
    """Return the largest index of each row ``[C, S]`` that is true, or -1."""
    # XLA cannot lower argmax on 64-bit numbers inside an outer jit with x64 off.
    index = xp.arange(mask.shape[1], dtype=xp.int64, device=device_of(mask))
    return xp.max(xp.where(mask, index, xp.full_like(index, -1)), axis=1)


@Kernel
def gather(table: Array, index: Array, /, *, xp: Namespace) -> Array:
    """Return ``table[c, index[c, ...]]`` for a table ``[C, n]``.

    An index of shape ``[1, ...]`` serves all rows.
    """
    rows, columns = table.shape
    flat = xp.reshape(index, (index.shape[0], prod(index.shape[1:])))
    if index.shape[0] == 1:
        taken = xp.take(table, xp.reshape(flat, (-1,)), axis=1)
    else:
        first = columns * xp.arange(rows, dtype=xp.int64, device=device_of(table))
        taken = xp.take(
            xp.reshape(table, (-1,)), xp.reshape(flat + first[:, None], (-1,))
        )
    return xp.reshape(taken, (rows, *index.shape[1:]))
