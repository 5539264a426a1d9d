"""The histogram that merges exactly, whatever the order and size of the batches."""

from dataclasses import dataclass, replace
from typing import ClassVar, Self

from array_api_compat import device as device_of

from qcore.arithmetic import broadcast
from qcore.granularity import Granularity, PerTensor
from qcore.libraries import arithmetic, namespace
from qcore.statistics.base import (
    Statistics,
    data_rows,
    state_extents,
    static,
)
from qcore.statistics.tally import K_MAX, K_MIN, WEIGHT_UNIT, regrid, tally
from qcore.typing import Array, Namespace

MOST_BINS = 1 << 20
MOST_WEIGHT = 2.0**31


@dataclass(frozen=True, eq=False, kw_only=True)
class Histogram(Statistics):
    """
    Signed counts on a grid whose slots are a power of two wide.

    A value x counts in slot j of its sign where ``j * 2**k <= |x| < (j + 1) * 2**k``.
    A zero, or a magnitude below 2**-126, counts in `zeros` and in no slot. When the
    range grows neighbouring slots add up, which equals counting afresh. So a state is a
    function of the values seen alone: not of batches, order, machines or library.

    Attributes
    ----------
    counts : array
        int64 ``[C, 2, slots]``, negative values first.
    exponents : array
        int64 ``[C, 2, 256]``: the values of slot 0 by their float32 exponent field.
    k : array
        int32 ``[C]``: log2 of the slots' width.
    zeros : array
        int64 ``[C]``.
    bins : int
        Resolution asked for; at least so many slots are in use.
    weighted : bool
        Whether values count by weights, in multiples of 2**-16.
    """

    counts: Array
    exponents: Array
    k: Array
    zeros: Array
    bins: int = static()
    weighted: bool = static(default=False)

    counted: ClassVar[tuple[str, ...]] = (
        "counts",
        "exponents",
        "zeros",
        "nans",
        "infs",
    )

    @classmethod
    def of(
        cls,
        x: Array,
        /,
        *,
        bins: int = 2048,
        granularity: Granularity = PerTensor(),  # noqa: B008 - frozen
        mask: Array | None = None,
        weights: Array | None = None,
        xp: Namespace | None = None,
    ) -> Self:
        """
        Return the histogram of `x`.

        Parameters
        ----------
        x : array
            Floating-point data of any shape; float64 is rounded to float32. NaN and
            infinity are counted apart.
        bins : int, optional
            Resolution, 2 to 2**20; the state has ``2 * 2**ceil(log2(bins))`` slots for
            each sign.
        granularity : granularity, optional
            Which elements share a histogram.
        mask : array, optional
            Booleans that broadcast to `x`: values count where true.
        weights : array, optional
            Floating-point weights that broadcast to `x`, rounded to multiples of
            2**-16, of 2**31 at most; what is then not positive, or not finite, masks
            its value.

        Raises
        ------
        TypeError
            If `x` is not floating-point or the mask not boolean.
        ValueError
            If `bins` is out of range, or mask or weights do not broadcast.
        """
        if not (isinstance(bins, int) and 2 <= bins <= MOST_BINS):
            raise ValueError(
                f"`bins` must be an integer from 2 to {MOST_BINS}; got {bins!r}."
            )
        return cls._of(
            x,
            bins=bins,
            granularity=granularity,
            mask=mask,
            weights=weights,
            k=None,
            xp=namespace(x, xp),
        )

    @classmethod
    def _of(
        cls,
        x: Array,
        *,
        bins: int,
        granularity: Granularity,
        mask: Array | None,
        weights: Array | None,
        k: Array | None,
        xp: Namespace,
    ) -> Self:
        """Return the histogram of `x` on slots of width ``2**k`` or more."""
        with arithmetic(xp):
            rows, keep = data_rows(x, mask, granularity, xp=xp)
            units = None
            if weights is not None:
                whole = broadcast(_units(weights, xp=xp), x, "weights", xp=xp)
                units, _ = granularity.to_rows(whole, xp=xp)
                keep = units > 0 if keep is None else xp.logical_and(keep, units > 0)
            counts = tally(rows, keep, units, slots_for(bins), k, xp=xp)
        return cls(
            **counts._asdict(),
            bins=bins,
            granularity=granularity,
            extents=state_extents(granularity, x.shape),
            weighted=weights is not None,
        )

    def update(
        self, x: Array, /, mask: Array | None = None, weights: Array | None = None
    ) -> Self:
        """
        Return the histogram of `x` and of all values seen before.

        Parameters
        ----------
        x, mask, weights : array
            As in `of`. Weights are needed just if the state began with weights.

        Raises
        ------
        TypeError
            If `x` is not floating-point, the mask not boolean, or weights are given to
            a state without, or not to one with them.
        ValueError
            If the extents, library or device of `x` are not those of the state.
        """
        if (weights is not None) != self.weighted:
            raise TypeError(
                "`weights` must be given to every update or to none; "
                f"this state began {'with' if self.weighted else 'without'} them."
            )
        xp = self._check_data(x)
        batch = self._of(
            x,
            bins=self.bins,
            granularity=self.granularity,
            mask=mask,
            weights=weights,
            k=self.k,
            xp=xp,
        )
        with arithmetic(xp):
            # Its slots are no narrower than those of the state.
            return super(Histogram, self._widened(batch.k))._merged(batch, xp=xp)

    def rescale(self, k: Array | int, /) -> Self:
        """
        Return the same values counted on wider slots.

        Parameters
        ----------
        k : int or array
            log2 of the new width, an integer or int32 ``[C]``; a k smaller than the
            state's own, which would need finer counts, leaves the state's; 126 is the
            largest.
        """
        xp = self.xp
        with arithmetic(xp):
            if isinstance(k, int):
                k = xp.full_like(self.k, min(max(k, K_MIN), K_MAX))
            new_k = xp.clip(xp.astype(k, xp.int32), K_MIN, K_MAX)
            return self._widened(xp.maximum(self.k, new_k))

    def _widened(self, k: Array) -> Self:
        """Return the same values on slots of these widths, no smaller than its own."""
        counts, exponents = regrid(self.counts, self.exponents, self.k, k, xp=self.xp)
        return replace(self, counts=counts, exponents=exponents, k=k)

    def _merged(self, other: Self, *, xp: Namespace) -> Self:
        k = xp.maximum(self.k, other.k)
        mine, theirs = self.rescale(k), other.rescale(k)
        return super(Histogram, mine)._merged(theirs, xp=xp)

    @property
    def slots(self) -> int:
        """Slots for each sign."""
        return int(self.counts.shape[-1])

    @property
    def width(self) -> Array:
        """Width of a slot, float64 ``[C]``: ``2**k``."""
        xp = self.xp
        with arithmetic(xp):
            powers = xp.asarray(
                [2.0**k for k in range(K_MIN, K_MAX + 1)],
                dtype=xp.float64,
                device=device_of(self.k),
            )
            return xp.take(powers, xp.astype(self.k, xp.int64) - K_MIN)

    @property
    def resolution_lost(self) -> Array:
        """
        Share of the values outside zero that slot 0 holds, float64 ``[C]``.

        Near 1, one outlier is thousands of times larger than the bulk, whose shape the
        slots do not show; `exponents` do.
        """
        xp = self.xp
        with arithmetic(xp):
            first = xp.astype(xp.sum(self.counts[:, :, 0], axis=1), xp.float64)
            every = xp.astype(xp.sum(self.counts, axis=(1, 2)), xp.float64)
            return first / xp.maximum(every, xp.ones_like(every))


def slots_for(bins: int, /) -> int:
    """Return how many slots each sign has, so that at least `bins` are in use."""
    return 2 << (bins - 1).bit_length()


def _units(weights: Array, *, xp: Namespace) -> Array:
    """Return weights as whole multiples of their unit, 0 for what is no weight."""
    whole = xp.round(xp.astype(weights, xp.float64) * (1 / WEIGHT_UNIT))
    whole = xp.where(xp.isfinite(whole), whole, xp.zeros_like(whole))
    # The limit leaves room for 2**16 such weights in 64 bits.
    return xp.astype(xp.clip(whole, 0, MOST_WEIGHT / WEIGHT_UNIT), xp.int64)
