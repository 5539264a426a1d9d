"""Multiply the ends by every factor around one: input feature map reconstruction.

The activation method of AMCT (Ascend Model Compression Toolkit), "IFMR". Differences:

* The error is that expected from the histogram, not of a second look at the data, of
  which AMCT keeps all batches.
* Both ends of an asymmetric range are searched, as AMCT documents; its source searches
  the upper one. Each candidate is scored with the zero point it gets.
* Of candidates equally good the widest wins, there the first.
"""

from fractions import Fraction
from math import isfinite

from array_api_compat import device as device_of

from qcore.methods.ends import mirrored
from qcore.methods.percentile import outward_quantile
from qcore.methods.range_search import best_range
from qcore.methods.registry import register_method
from qcore.spec import QuantSpec
from qcore.statistics import Histogram
from qcore.typing import Array, Namespace

_MOST_FACTORS = 1000
"""Whose pairs, a million, are as many as memory should hold for an entry."""


@register_method("ifmr", needs=(Histogram,))
def ifmr(
    statistics: Histogram,
    spec: QuantSpec,
    /,
    *,
    xp: Namespace,
    max_percentile: float = 0.999999,
    min_percentile: float = 0.999999,
    search_range: tuple[float, float] = (0.7, 1.3),
    search_step: float = 0.01,
) -> tuple[Array, Array]:
    """
    Return the quantiles of the tails times the factors of least squared error.

    Parameters
    ----------
    statistics : Histogram
        What was collected.
    spec : QuantSpec
        Symmetric: one factor, for the end that lies further out (the upper one for an
        unsigned format). Asymmetric: a factor for each end, every pair of them.
    max_percentile, min_percentile : float, optional
        Shares of all values that lie within the upper and the lower end before it is
        multiplied, in (0.5, 1]; 1 is exactly the largest or smallest value.
    search_range : tuple of float, optional
        The first and the last factor, ``0 < first < last``. The range may reach beyond
        the values seen by the last.
    search_step : float, optional
        Between factors, in ``(0, last - first]``. They are decimal fractions without
        drift: 0.7, 0.71, … 1.3 by default.

    Raises
    ------
    ValueError
        If an option is out of its range.
    """
    factors = xp.asarray(
        _factors(search_range, search_step),
        dtype=xp.float64,
        device=device_of(statistics.k),
    )
    shares = [
        _checked_share("min_percentile", min_percentile),
        _checked_share("max_percentile", max_percentile),
    ]
    limits = [xp.clip(end, 0, None) for end in (-statistics.min, statistics.max)]
    below, above = (
        xp.astype(
            outward_quantile(
                statistics.counts[:, i, :], shares[i], statistics, limits[i], xp=xp
            ),
            xp.float64,
        )
        for i in range(2)
    )
    if spec.symmetric:
        amax = xp.maximum(below, above) if spec.format.signed else above
        ends = mirrored(amax[:, None] * factors, spec, xp=xp)
        return best_range(statistics, *ends, spec, xp=xp)
    pairs = (statistics.channels, factors.shape[0] ** 2)
    lows, highs = xp.broadcast_arrays(
        -(below[:, None] * factors)[:, :, None], (above[:, None] * factors)[:, None, :]
    )
    lows, highs = xp.reshape(lows, pairs), xp.reshape(highs, pairs)
    return best_range(statistics, lows, highs, spec, xp=xp)


def _factors(search_range: tuple[float, float], search_step: float) -> list[float]:
    """Return the factors, each the float next to its decimal fraction."""
    ends = tuple(search_range)
    if len(ends) != 2 or not (0 < ends[0] < ends[1] and isfinite(ends[1])):
        raise ValueError(
            "`search_range` must be two ascending positive factors; "
            f"got {search_range!r}."
        )
    start, end = (_decimal(x) for x in ends)
    step = _decimal(search_step) if isfinite(search_step) else Fraction(0)
    if not 0 < step <= end - start:
        raise ValueError(
            f"`search_step` must lie in (0, {float(end - start)}], the extent of "
            f"`search_range`; got {search_step!r}."
        )
    count = (end - start) // step + 1
    if count > _MOST_FACTORS:
        raise ValueError(
            f"`search_step` must give at most {_MOST_FACTORS} factors; got {count} of "
            f"{search_step!r} in {search_range!r}."
        )
    return [float(start + i * step) for i in range(count)]


def _decimal(x: float) -> Fraction:
    """Return the decimal fraction that a float is written as."""
    return Fraction(str(float(x)))


def _checked_share(name: str, share: float) -> float:
    if not 0.5 < share <= 1:
        raise ValueError(f"`{name}` must lie in (0.5, 1]; got {share!r}.")
    return share
