"""Smallest and largest value: exact, or as a moving average over batches."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

from qcore.granularity import Granularity, PerTensor
from qcore.libraries import arithmetic, namespace
from qcore.statistics.base import Statistics, data_rows, state_extents, static
from qcore.statistics.tally import tally
from qcore.typing import Array, Namespace

_FEWEST_SLOTS = 4
"""A range needs no slots; the counting kernel wants some."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Range(Statistics):
    """
    The smallest and the largest finite value seen.

    Attributes
    ----------
    count : array
        int64 ``[C]``: finite values seen.
    """

    count: Array

    counted: ClassVar[tuple[str, ...]] = ("count", "nans", "infs")

    @classmethod
    def of(
        cls,
        x: Array,
        /,
        *,
        granularity: Granularity = PerTensor(),  # noqa: B008 - frozen
        mask: Array | None = None,
        xp: Namespace | None = None,
    ) -> Self:
        """
        Return the range of `x`.

        Parameters
        ----------
        x : array
            Floating-point data of any shape; float64 is rounded to float32.
        granularity : granularity, optional
            Which elements share a range.
        mask : array, optional
            Booleans that broadcast to `x`: values count where true.

        Raises
        ------
        TypeError
            If `x` is not floating-point or the mask not boolean.
        ValueError
            If the mask does not broadcast.
        """
        return cls(**_fields(x, granularity, mask, xp=namespace(x, xp)))

    def update(self, x: Array, /, mask: Array | None = None) -> Self:
        """Return the range of `x` and of all values seen before; see `of`."""
        return self.merge(type(self).of(x, granularity=self.granularity, mask=mask))


@dataclass(frozen=True, eq=False, kw_only=True)
class MovingRange(Statistics):
    """
    Ends of the range as exponential moving averages over batches.

    Each batch moves them by ``averaging_constant`` of the difference; the first sets
    them. The result depends on the order and size of the batches, so two of these
    states have no merge.

    Attributes
    ----------
    count : array
        int64 ``[C]``: finite values seen.
    averaging_constant : float
        Share of a new batch, in (0, 1].
    """

    count: Array
    averaging_constant: float = static(default=0.01)

    @classmethod
    def of(
        cls,
        x: Array,
        /,
        *,
        granularity: Granularity = PerTensor(),  # noqa: B008 - frozen
        averaging_constant: float = 0.01,
        mask: Array | None = None,
        xp: Namespace | None = None,
    ) -> Self:
        """
        Return the state after a first batch.

        Parameters
        ----------
        x, granularity, mask
            As in `Range.of`.
        averaging_constant : float, optional
            Share of each later batch, in (0, 1].

        Raises
        ------
        ValueError
            If the constant is out of range.
        """
        if not 0 < averaging_constant <= 1:
            raise ValueError(
                f"`averaging_constant` must lie in (0, 1]; got {averaging_constant}."
            )
        parts = _fields(x, granularity, mask, xp=namespace(x, xp))
        return cls(**parts, averaging_constant=averaging_constant)

    def update(self, x: Array, /, mask: Array | None = None) -> Self:
        """
        Return the state moved towards the range of `x`; no finite value, no move.

        Raises
        ------
        TypeError
            If `x` is not floating-point or the mask not boolean.
        ValueError
            If the extents, library or device of `x` are not those of the state.
        """
        batch = type(self).of(
            x,
            granularity=self.granularity,
            averaging_constant=self.averaging_constant,
            mask=mask,
        )
        self._check_extents(batch)
        self._check_alike(batch)
        xp = self.xp
        with arithmetic(xp):
            return replace(
                self,
                min=self._moved(self.min, batch.min, batch.count, xp=xp),
                max=self._moved(self.max, batch.max, batch.count, xp=xp),
                count=self.count + batch.count,
                nans=self.nans + batch.nans,
                infs=self.infs + batch.infs,
            )

    def merge(self, other: Self, /) -> Self:
        """Raise TypeError: the order of batches matters, so there is no merge."""
        raise TypeError(
            "MovingRange must see its batches in order and cannot be merged; got "
            f"{type(other).__name__}. Use Range, whose merge is exact."
        )

    def _moved(self, old: Array, new: Array, count: Array, *, xp: Namespace) -> Array:
        # The difference is multiplied in float64, where the product is exact enough
        # that a fused multiply-add rounds to the same float32.
        wide_old, wide_new = xp.astype(old, xp.float64), xp.astype(new, xp.float64)
        start = xp.where(xp.isinf(wide_old), wide_new, wide_old)
        step = xp.where(count > 0, wide_new - start, xp.zeros_like(start))
        return xp.astype(start + self.averaging_constant * step, xp.float32)

    def _check_extents(self, batch: Self) -> None:
        if batch.extents != self.extents:
            raise ValueError(
                f"data must have extents {self.extents}; got {batch.extents}."
            )


def _fields(
    x: Array, granularity: Granularity, mask: Array | None, *, xp: Namespace
) -> dict[str, Any]:
    """Return the fields of a state that has seen `x`."""
    with arithmetic(xp):
        rows, keep = data_rows(x, mask, granularity, xp=xp)
        seen = range_of_rows(rows, keep, xp=xp)
    extents = state_extents(granularity, x.shape)
    return {**seen, "granularity": granularity, "extents": extents}


def range_of_rows(
    rows: Array, keep: Array | None, /, *, xp: Namespace
) -> dict[str, Array]:
    """Return the arrays of the range of each row, as `Range` has them."""
    seen = tally(rows, keep, None, _FEWEST_SLOTS, None, xp=xp)
    return {
        "min": seen.min,
        "max": seen.max,
        "nans": seen.nans,
        "infs": seen.infs,
        "count": xp.sum(seen.counts, axis=(1, 2)) + seen.zeros,
    }
