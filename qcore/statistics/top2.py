"""Which scales keep the largest value of each row the largest.

Of a softmax or sigmoid output often just the class of the largest value matters. Let
L1 > L2 be the two largest values of a row (L2 = 0 if it is negative). Their codes
differ, and the larger is the first's, where for some n < qmax the edge between the
codes n and n + 1 lies between them::

    L2 / (n + 1/2) < scale < L1 / (n + 1/2)

From n = qmax - 1 down, these intervals overlap while ``2 n (L1 - L2) > L1 + L2``. So
every scale keeps the row's order in the interval from ``L2 / (qmax - 1/2)`` to
``L1 / (m + 1/2)``, m the smaller of qmax - 1 and ``floor((L1 + L2) / (2 (L1 - L2)))``;
that is ``2 L1`` where L2 = 0.

This is the idea of the isotone observer of PPQ. That one ends the interval at
``2 (L1 - L2)``, where the codes may be equal (1.4 and 0.6 at scale 1), and takes
magnitudes if symmetric; here values are compared, as argmax does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar, Self

from array_api_compat import device as device_of

from qcore.arithmetic import TINY, broadcast, divide
from qcore.formats import Format, IntFormat, parse_format
from qcore.granularity import (
    Granularity,
    PerBlock,
    PerChannel,
    PerTensor,
    normalize_axes,
)
from qcore.kernels import Kernel
from qcore.libraries import arithmetic, detached, namespace
from qcore.statistics.base import Statistics, static
from qcore.statistics.ranges import Range
from qcore.statistics.tally import count, to_float32
from qcore.typing import Array, Namespace

PER_OCTAVE = 32
"""Scales in an octave: they have few enough bits that scale x code is exact."""

SCALES = tuple(
    2.0**e * (1 + f / PER_OCTAVE) for e in range(-125, 128) for f in range(PER_OCTAVE)
)
"""The grid; from 2**-125, where what counts as zero has code zero."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Top2(Statistics):
    """
    How many rows keep their order at each scale of a fixed grid.

    A row is what lies along `axis`. The scales that keep its largest value the largest
    form an interval, whose ends are rounded inwards to the grid of `SCALES` and
    counted. The grid never moves, so merging is addition: exact, and the same for any
    batches, order, machines and library.

    Attributes
    ----------
    starts : array
        int64 ``[C, len(SCALES)]``: rows whose first scale this is.
    ends : array
        int64 ``[C, len(SCALES)]``: rows whose first scale too large this is.
    lost : array
        int64 ``[C]``: rows that no scale of the grid keeps, such as those whose two
        largest values are equal, or the largest not positive.
    axis : int
        Along which values are compared.
    qmax : int
        The highest code.
    """

    starts: Array
    ends: Array
    lost: Array
    axis: int = static(default=-1)
    qmax: int = static(default=127)

    counted: ClassVar[tuple[str, ...]] = ("starts", "ends", "lost", "nans", "infs")

    @classmethod
    def of(
        cls,
        x: Array,
        /,
        *,
        axis: int = -1,
        format: str | Format = "int8",
        granularity: Granularity = PerTensor(),  # noqa: B008 - frozen
        mask: Array | None = None,
        xp: Namespace | None = None,
    ) -> Self:
        """
        Return which scales keep the order of the rows of `x`.

        Parameters
        ----------
        x : array
            Floating-point data of any shape; float64 is rounded to float32, and
            magnitudes below 2**-126 count as zero. 0-d data is a row of one value.
        axis : int, optional
            The axis along which values are compared: that of the classes of a softmax;
            for a sigmoid PPQ advises that of the batch. A row of fewer than two values
            has no order and is not counted.
        format : str or format, optional
            That of the codes; an integer format.
        granularity : granularity, optional
            Which elements share a scale; values that are compared must.
        mask : array, optional
            Booleans that broadcast to `x`: values count where true. NaN and infinity
            are counted apart and left out of their row.

        Raises
        ------
        TypeError
            If `x` is not floating-point or the mask not boolean.
        ValueError
            If the format is not one of integers, the axis does not exist, the
            granularity keeps it or cuts it into blocks, or the mask does not broadcast.
        """
        fmt = parse_format(format)
        if not isinstance(fmt, IntFormat):
            raise ValueError(
                f"`format` must be an integer format, whose codes are evenly spaced; "
                f"got {fmt.name}."
            )
        settings = {"axis": axis, "qmax": fmt.qmax, "granularity": granularity}
        return cls._collected(x, mask, settings, xp=namespace(x, xp))

    def update(self, x: Array, /, mask: Array | None = None) -> Self:
        """Return the statistics of `x` and of all rows seen before; see `of`."""
        names = ("axis", "qmax", "granularity")
        settings = {name: getattr(self, name) for name in names}
        return self.merge(self._collected(x, mask, settings, xp=namespace(x)))

    @classmethod
    def _collected(
        cls,
        x: Array,
        mask: Array | None,
        settings: dict[str, Any],
        *,
        xp: Namespace,
    ) -> Self:
        granularity = settings["granularity"]
        seen = Range.of(x, granularity=granularity, mask=mask, xp=xp)
        order = _order(x.ndim, settings["axis"], granularity)
        with arithmetic(xp):
            keep = None if mask is None else broadcast(mask, x, "mask", xp=xp)
            data = _rows(detached(x, xp), seen.channels, order, xp=xp)
            if keep is not None:
                keep = _rows(keep, seen.channels, order, xp=xp)
            starts, ends, lost = order_intervals(data, keep, settings["qmax"], xp=xp)
        return cls(
            starts=starts,
            ends=ends,
            lost=lost,
            min=seen.min,
            max=seen.max,
            nans=seen.nans,
            infs=seen.infs,
            extents=seen.extents,
            **settings,
        )

    @property
    def kept(self) -> Array:
        """How many rows keep their order at each scale, int64 ``[C, len(SCALES)]``."""
        xp = self.xp
        with arithmetic(xp):
            return xp.cumulative_sum(self.starts - self.ends, axis=1)


def _order(ndim: int, axis: int, granularity: Granularity) -> Sequence[int]:
    """Return the axes of the data: the kept ones, the others, that of the rows."""
    if isinstance(granularity, PerBlock):
        raise ValueError(
            "`granularity` must be PerTensor() or PerChannel(axis), whose scales serve "
            f"whole rows; got {granularity!r}."
        )
    (along,) = normalize_axes(axis, max(ndim, 1))
    kept: tuple[int, ...] = ()
    if isinstance(granularity, PerChannel):
        kept = normalize_axes(granularity.axis, ndim)
    if along in kept:
        raise ValueError(
            f"`granularity` must not keep axis {axis}, along which values are "
            f"compared; got {granularity!r}."
        )
    others = (a for a in range(ndim) if a not in kept and a != along)
    return (*kept, *others, along)[:ndim]


def _rows(x: Array, channels: int, order: Sequence[int], *, xp: Namespace) -> Array:
    """Return the data as ``[C, rows of each, values of a row]``."""
    width = x.shape[order[-1]] if order else 1
    rows = prod(x.shape) // max(channels * width, 1)
    return xp.reshape(xp.permute_dims(x, tuple(order)), (channels, rows, width))


@Kernel
def order_intervals(
    x: Array, keep: Array | None, qmax: int, /, *, xp: Namespace
) -> tuple[Array, Array, Array]:
    """Return the fields `starts`, `ends` and `lost` of `Top2`.

    Parameters
    ----------
    x : array
        Floating-point data ``[C, rows, values of a row]``.
    keep : array or None
        Booleans of that shape: which values count.
    qmax : int
        The highest code.
    """
    channels, device = x.shape[0], device_of(x)
    if 0 in x.shape:
        none = xp.zeros((channels, len(SCALES)), dtype=xp.int64, device=device)
        return none, none, xp.zeros((channels,), dtype=xp.int64, device=device)
    first, second = _two_largest(to_float32(x, xp=xp), keep, xp=xp)
    is_row = xp.isfinite(second)
    second = xp.maximum(second, xp.zeros_like(second))
    is_ordered = xp.logical_and(is_row, first > second)
    # Any two that are ordered stand in where there is nothing to compare.
    first, second = (xp.astype(y, xp.float64) for y in (first, second))
    first = xp.where(is_ordered, first, xp.ones_like(first))
    second = xp.where(is_ordered, second, xp.zeros_like(second))

    start, end = _interval(first, second, qmax, xp=xp)
    is_kept = xp.logical_and(is_ordered, start < end)
    is_lost = xp.logical_and(is_row, xp.logical_not(is_kept))
    channel = xp.arange(channels, dtype=xp.int64, device=device)[:, None]
    total = channels * len(SCALES)

    def counted(slot: Array) -> Array:
        has_slot = xp.logical_and(is_kept, slot < len(SCALES))
        index = channel * len(SCALES) + slot
        index = xp.where(has_slot, index, xp.full_like(index, total))
        counts = count(xp.reshape(index, (-1,)), None, total, xp=xp)
        return xp.reshape(counts, (channels, len(SCALES)))

    lost = xp.sum(xp.astype(is_lost, xp.int64), axis=1)
    return counted(start), counted(end), lost


def _two_largest(x: Array, keep: Array | None, *, xp: Namespace) -> tuple[Array, Array]:
    """Return the two largest values of each row that counts; -inf if there are none."""
    usable = xp.isfinite(x)
    if keep is not None:
        usable = xp.logical_and(usable, keep)
    x = xp.where(xp.abs(x) < TINY, xp.zeros_like(x), x)
    nothing = xp.full_like(x, -float("inf"))
    x = xp.where(usable, x, nothing)
    first = xp.max(x, axis=2, keepdims=True)
    is_first = x == first
    second = xp.max(xp.where(is_first, nothing, x), axis=2)
    first = first[:, :, 0]
    often = xp.sum(xp.astype(is_first, xp.int32), axis=2) > 1
    return first, xp.where(often, first, second)


def _interval(
    first: Array, second: Array, qmax: int, *, xp: Namespace
) -> tuple[Array, Array]:
    """Return the slots of the first scale that keeps an order, and the next too large.

    The two values are float32 numbers in float64, the scales have 6 bits and twice an
    edge between codes 17. So all products and the sums that matter are exact, and a
    quotient differs from a scale by a part in 2**24 or not at all.
    """
    start = _first_slot(second, qmax - 0.5, "right", xp=xp)
    edge = xp.floor(divide(first + second, 2 * (first - second), xp=xp))
    edge = xp.clip(edge, None, qmax - 1.0) + 0.5
    # The last bit of a quotient must not tell whether it equals a scale.
    limit = divide(first, edge, xp=xp) * (1 - 2.0**-40)
    return start, _first_slot(limit, 1.0, "left", xp=xp)


def _first_slot(x: Array, factor: float, side: str, *, xp: Namespace) -> Array:
    """Return which multiple of the scales is the first above `x`, or not below it."""
    table = scale_grid(x, xp=xp) * factor
    slot = xp.searchsorted(table, xp.reshape(x, (-1,)), side=side)
    return xp.astype(xp.reshape(slot, x.shape), xp.int64)


def scale_grid(like: Array, /, *, xp: Namespace) -> Array:
    """Return `SCALES` as a float64 array on the device of another."""
    return xp.asarray(SCALES, dtype=xp.float64, device=device_of(like))
