"""Count the values of a batch: on the dyadic grid, and those that have no slot.

The slots of a row are ``2**k`` wide, with the smallest k in [-126, 126] for which they
reach beyond the largest magnitude. Scaling by a power of two is exact in every IEEE
format, and k is found in a table, so every library counts alike.
"""

from typing import NamedTuple

from array_api_compat import device as device_of

from qcore.arithmetic import TINY, dtype_name
from qcore.kernels import Kernel
from qcore.typing import Array, Namespace

K_MIN, K_MAX = -126, 126
"""So that ``2**k`` and ``2**-k`` are normal float32 numbers."""

EXPONENTS = 256
"""Exponent fields of float32."""

WEIGHT_UNIT = 2.0**-16
"""Weights are counted in whole multiples of this."""


class Tally(NamedTuple):
    """Counts of one batch, a row for each scale; see the fields of `Histogram`."""

    counts: Array
    exponents: Array
    k: Array
    min: Array
    max: Array
    zeros: Array
    nans: Array
    infs: Array


@Kernel
def tally(
    rows: Array,
    keep: Array | None,
    weights: Array | None,
    slots: int,
    k: Array | None,
    /,
    *,
    xp: Namespace,
) -> Tally:
    """Count the values of each row on the row's own grid, or on a wider one.

    Parameters
    ----------
    rows : array
        Floating-point data of shape ``[C, M]``.
    keep : array or None
        Booleans of that shape: which values count.
    weights : array or None
        int64 of that shape: how often each counts; once by default.
    slots : int
        Slots for each sign, a power of two.
    k : array or None
        int32 ``[C]``: log2 of a width that the slots must not go below, so that a batch
        can be counted in one pass on the grid of what was seen before.
    """
    channels, columns = rows.shape
    if columns == 0:
        return empty_tally(channels, slots, rows, k, xp=xp)
    x = to_float32(rows, xp=xp)
    keep = (
        xp.ones(x.shape, dtype=xp.bool, device=device_of(x)) if keep is None else keep
    )
    magnitude = xp.abs(x)
    is_finite = xp.logical_and(keep, xp.isfinite(x))
    has_slot = xp.logical_and(is_finite, magnitude >= TINY)
    zero = xp.zeros_like(x)
    value, magnitude = (xp.where(has_slot, y, zero) for y in (x, magnitude))

    least = least_k(xp.max(magnitude, axis=1), slots, xp=xp)
    k = least if k is None else xp.maximum(least, xp.astype(k, xp.int64))
    inverse = xp.take(_powers(range(-K_MIN, -K_MAX - 1, -1), x, xp=xp), k - K_MIN)
    slot = xp.astype(xp.floor(magnitude * inverse[:, None]), xp.int64)
    exponent = xp.searchsorted(
        _powers(range(K_MIN, 128), x, xp=xp), xp.reshape(magnitude, (-1,)), side="right"
    )
    exponent = xp.astype(xp.reshape(exponent, x.shape), xp.int64)

    row = xp.arange(channels, dtype=xp.int64, device=device_of(x))[:, None]
    sign = 2 * row + xp.astype(value > 0, xp.int64)
    in_slot_0 = xp.logical_and(has_slot, slot == 0)

    def counted(place: Array, where: Array, width: int) -> Array:
        dropped = xp.full_like(place, 2 * channels * width)
        place = xp.where(where, sign * width + place, dropped)
        flat = None if weights is None else xp.reshape(weights, (-1,))
        total = count(xp.reshape(place, (-1,)), flat, 2 * channels * width, xp=xp)
        return xp.reshape(total, (channels, 2, width))

    def total(where: Array) -> Array:
        ones = (
            xp.ones(x.shape, dtype=xp.int64, device=device_of(x))
            if weights is None
            else weights
        )
        return xp.sum(
            xp.where(where, ones, xp.zeros_like(ones)), axis=1, dtype=xp.int64
        )

    is_inf = xp.logical_and(keep, xp.isinf(x))
    infinity = xp.full_like(x, float("inf"))
    return Tally(
        counts=counted(slot, has_slot, slots),
        exponents=counted(exponent, in_slot_0, EXPONENTS),
        k=xp.astype(k, xp.int32),
        min=xp.min(xp.where(is_finite, value, infinity), axis=1),
        max=xp.max(xp.where(is_finite, value, -infinity), axis=1),
        zeros=total(xp.logical_and(is_finite, xp.logical_not(has_slot))),
        nans=total(xp.logical_and(keep, xp.isnan(x))),
        infs=xp.stack(
            [
                total(xp.logical_and(is_inf, x < 0)),
                total(xp.logical_and(is_inf, x > 0)),
            ],
            axis=1,
        ),
    )


@Kernel
def count(
    index: Array, weights: Array | None, length: int, /, *, xp: Namespace
) -> Array:
    """Return how often, or with what total weight, each of ``range(length)`` occurs.

    Parameters
    ----------
    index : array
        int64 ``[n]``; larger numbers than ``length - 1`` are left out.
    weights : array or None
        int64 ``[n]``.
    length : int
        How many numbers to count.

    Returns
    -------
    array
        int64 ``[length]``.
    """
    edges = xp.arange(length + 1, dtype=xp.int64, device=device_of(index))
    if weights is None:
        return xp.astype(xp.diff(xp.searchsorted(xp.sort(index), edges)), xp.int64)
    order = xp.argsort(index)
    running = xp.cumulative_sum(xp.take(weights, order), include_initial=True)
    return xp.diff(xp.take(running, xp.searchsorted(xp.take(index, order), edges)))


def to_float32(x: Array, /, *, xp: Namespace) -> Array:
    """Return data rounded to float32, alike whether or not subnormals are flushed."""
    if dtype_name(x.dtype) != "float64":
        return xp.astype(x, xp.float32, copy=False)
    magnitude = xp.abs(x)
    sign = xp.where(x < 0, -xp.ones_like(x), xp.ones_like(x))
    # The halfway points below the smallest normal number and above the largest.
    x = xp.where(magnitude >= 2.0**128 - 2.0**103, sign * float("inf"), x)
    rises = xp.logical_and(magnitude >= TINY - 2.0**-150, magnitude < TINY)
    x = xp.where(rises, sign * TINY, x)
    return xp.astype(xp.where(xp.abs(x) < TINY, xp.zeros_like(x), x), xp.float32)


def least_k(amax: Array, slots: int, /, *, xp: Namespace) -> Array:
    """Return the smallest k with ``amax < slots * 2**k`` for float32 `amax` ``[C]``."""
    limits = [min(slots * 2.0**k, 2.0**128) for k in range(K_MIN, K_MAX + 1)]
    limits = [float("inf") if limit == 2.0**128 else limit for limit in limits]
    table = xp.asarray(limits, dtype=xp.float32, device=device_of(amax))
    place = xp.searchsorted(table, amax, side="right")
    return xp.astype(place, xp.int64) + K_MIN


def _powers(exponents: range, x: Array, *, xp: Namespace) -> Array:
    return xp.asarray([2.0**e for e in exponents], dtype=x.dtype, device=device_of(x))


def empty_tally(
    channels: int, slots: int, like: Array, k: Array | None, /, *, xp: Namespace
) -> Tally:
    """Return the counts of no values at all."""

    def zeros(*shape: int) -> Array:
        return xp.zeros((channels, *shape), dtype=xp.int64, device=device_of(like))

    infinity = xp.full(
        (channels,), float("inf"), dtype=xp.float32, device=device_of(like)
    )
    return Tally(
        counts=zeros(2, slots),
        exponents=zeros(2, EXPONENTS),
        k=xp.astype(zeros() + K_MIN, xp.int32)
        if k is None
        else xp.astype(k, xp.int32, copy=True),
        min=infinity,
        max=-infinity,
        zeros=zeros(),
        nans=zeros(),
        infs=zeros(2),
    )


@Kernel
def regrid(
    counts: Array, exponents: Array, k: Array, new_k: Array, /, *, xp: Namespace
) -> tuple[Array, Array]:
    """Return the counts on wider grids: neighbouring slots add up, exactly.

    Slots j >= 1 imply their values' exponents; what falls into slot 0 is counted by
    exponent from then on, as if it had been counted on the new grid at once.
    """
    channels, _, slots = counts.shape
    doublings = slots.bit_length() - 1
    shift = xp.astype(new_k - k, xp.int64)[:, None, None]
    folds = xp.minimum(shift, xp.full_like(shift, doublings))

    running = xp.cumulative_sum(counts, axis=-1, include_initial=True)

    def below(edge: Array) -> Array:
        """Return how many values each row has below a slot edge."""
        edge = xp.broadcast_to(edge, (channels, 2, edge.shape[-1]))
        return xp.take_along_axis(running, edge, axis=-1)

    edges = xp.arange(slots + 1, dtype=xp.int64, device=device_of(counts))
    widened = xp.bitwise_left_shift(
        xp.broadcast_to(edges, (channels, 1, slots + 1)), folds
    )
    coarse = xp.diff(below(xp.minimum(widened, xp.full_like(widened, slots))), axis=-1)

    # Slots 2**i to 2**(i + 1) hold the values of exponent k + i, stored at k + i + 127.
    octave_edges = xp.asarray(
        [2**i for i in range(doublings + 1)], dtype=xp.int64, device=device_of(counts)
    )
    octaves = xp.diff(below(octave_edges[None, None, :]), axis=-1)
    field = xp.arange(EXPONENTS, dtype=xp.int64, device=device_of(counts))
    octave = field[None, None, :] - 127 - xp.astype(k, xp.int64)[:, None, None]
    is_new = xp.logical_and(octave >= 0, octave < folds)
    octave = xp.clip(octave, 0, doublings - 1)
    octave = xp.broadcast_to(octave, (channels, 2, EXPONENTS))
    gained = xp.take_along_axis(octaves, octave, axis=-1)
    return coarse, exponents + xp.where(is_new, gained, xp.zeros_like(gained))
