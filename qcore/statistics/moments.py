"""Mean and mean square of what was seen, without rounding on the way."""

from dataclasses import dataclass, replace
from typing import ClassVar, Self

from qcore.arithmetic import TINY
from qcore.granularity import Granularity, PerTensor
from qcore.libraries import arithmetic, namespace
from qcore.statistics.base import Statistics, data_rows, state_extents, static
from qcore.statistics.fixed_point import carried, exact_sum, to_float64
from qcore.statistics.ranges import range_of_rows
from qcore.statistics.tally import to_float32
from qcore.typing import Array, Namespace

_BITS = {1: (-149, 128), 2: (-252 - 46, 256)}
"""Of powers of float32 numbers that are not subnormal: the lowest and a bound."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Moments(Statistics):
    """
    Exact sums of the finite values seen, and of their squares.

    Sums are integers in fixed point, see `fixed_point`, so the state
    depends on the values alone: not on batches, order, machines or library. Magnitudes
    below the smallest normal float32 count as zero.

    Attributes
    ----------
    count : array
        int64 ``[C]``: finite values seen.
    sums : array
        int64 ``[C, order, LIMBS]``: of the values, and of their squares.
    order : int
        1 for sums alone, 2 with those of the squares.
    """

    count: Array
    sums: Array
    order: int = static(default=2)

    counted: ClassVar[tuple[str, ...]] = ("count", "nans", "infs", "sums")

    @classmethod
    def of(
        cls,
        x: Array,
        /,
        *,
        order: int = 2,
        granularity: Granularity = PerTensor(),  # noqa: B008 - frozen
        mask: Array | None = None,
        xp: Namespace | None = None,
    ) -> Self:
        """
        Return the sums of `x`.

        Parameters
        ----------
        x : array
            Floating-point data of any shape; float64 is rounded to float32.
        order : int, optional
            1 or 2.
        granularity : granularity, optional
            Which elements share a sum.
        mask : array, optional
            Booleans that broadcast to `x`: values count where true.

        Raises
        ------
        TypeError
            If `x` is not floating-point or the mask not boolean.
        ValueError
            If `order` is another number, or the mask does not broadcast.
        """
        if not isinstance(order, int) or order not in _BITS:
            raise ValueError(f"`order` must be 1 or 2; got {order!r}.")
        xp = namespace(x, xp)
        with arithmetic(xp):
            rows, keep = data_rows(x, mask, granularity, xp=xp)
            seen = range_of_rows(rows, keep, xp=xp)
            values = to_float32(rows, xp=xp)
            counts = xp.logical_and(xp.isfinite(values), xp.abs(values) >= TINY)
            if keep is not None:
                counts = xp.logical_and(counts, keep)
            values = xp.where(counts, values, xp.zeros_like(values))
            values = xp.astype(values, xp.float64)
            powers = [values] if order == 1 else [values, values * values]
            sums = [
                exact_sum(power, _BITS[i], xp=xp) for i, power in enumerate(powers, 1)
            ]
            return cls(
                **seen,
                sums=xp.stack(sums, axis=1),
                order=order,
                granularity=granularity,
                extents=state_extents(granularity, x.shape),
            )

    def update(self, x: Array, /, mask: Array | None = None) -> Self:
        """Return the sums of `x` and of all values seen before; see `of`."""
        of = type(self).of
        return self.merge(
            of(x, order=self.order, granularity=self.granularity, mask=mask)
        )

    @property
    def mean(self) -> Array:
        """Mean of the finite values, float64 of the shape of scales; 0 of none."""
        return self._mean(1)

    @property
    def mean_square(self) -> Array:
        """Mean of their squares, float64 of the shape of scales; 0 of none.

        Raises ValueError if the order is 1.
        """
        if self.order < 2:
            raise ValueError("`mean_square` needs Moments of order 2; got order 1.")
        return self._mean(2)

    def _mean(self, power: int) -> Array:
        xp = self.xp
        with arithmetic(xp):
            total = to_float64(self.sums[:, power - 1, :], xp=xp)
            n = xp.maximum(self.count, xp.ones_like(self.count))
            return xp.reshape(total / xp.astype(n, xp.float64), self.extents)

    def _merged(self, other: Self, *, xp: Namespace) -> Self:
        added = super()._merged(other, xp=xp)
        return replace(added, sums=carried(added.sums, xp=xp))
