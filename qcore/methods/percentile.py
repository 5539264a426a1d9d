"""Keep a given share of the values: a quantile of the histogram."""

from typing import TypeAlias

from qcore.arithmetic import divide
from qcore.methods.ends import gather, mirrored, spanned
from qcore.methods.options import lies_within
from qcore.methods.registry import register_method
from qcore.spec import QuantSpec
from qcore.statistics import Histogram
from qcore.typing import Array, Namespace

Percentile: TypeAlias = float | tuple[float, float]


@register_method("percentile", needs=(Histogram,))
def percentile(
    statistics: Histogram,
    spec: QuantSpec,
    /,
    *,
    xp: Namespace,
    percentile: Percentile = 99.99,
) -> tuple[Array, Array]:
    """
    Return the range that keeps a share of the values.

    The value of rank ``ceil(percentile / 100 * n)`` counted from zero outwards, taken
    to lie evenly in its slot; 100 is exactly the largest. Zeros count as values.

    Parameters
    ----------
    statistics : Histogram
        What was collected.
    spec : QuantSpec
        Symmetric: one quantile of ``|x|`` (of the positive values for an unsigned
        format). Asymmetric: what is left out is halved between the two tails.
    percentile : float or tuple of float, optional
        The share kept, in [0, 100]. A pair ``(lo, hi)`` for asymmetric ranges are the
        two quantiles themselves, such as ``(0.1, 99.9)``.

    Raises
    ------
    ValueError
        If a share lies outside [0, 100], a pair descends, or a pair is given for a
        symmetric range.
    """
    shares = (
        tuple(percentile) if isinstance(percentile, tuple | list) else (percentile,)
    )
    if not all(lies_within(0, share, 100) for share in shares):
        raise ValueError(f"`percentile` must lie in [0, 100]; got {percentile!r}.")
    if len(shares) not in (1, 2) or shares[0] > shares[-1]:
        raise ValueError(
            f"`percentile` must be one number or an ascending pair; got {percentile}."
        )

    def reach(side: Array, share: float, limit: Array) -> Array:
        return outward_quantile(side, share / 100, statistics, limit, xp=xp)

    low, high = spanned(statistics.min, statistics.max, spec, xp=xp)
    negative, positive = statistics.counts[:, 0, :], statistics.counts[:, 1, :]
    if spec.symmetric:
        if len(shares) == 2:
            raise ValueError(
                f"`percentile` must be one number if symmetric; got {percentile}."
            )
        side = negative + positive if spec.format.signed else positive
        return mirrored(reach(side, shares[0], high), spec, xp=xp)
    if len(shares) == 1:
        tail = (100 - shares[0]) / 2
        shares = (tail, 100 - tail)
    return -reach(negative, 100 - shares[0], -low), reach(positive, shares[1], high)


def outward_quantile(
    side: Array,
    share: float,
    statistics: Histogram,
    limit: Array,
    /,
    *,
    xp: Namespace,
) -> Array:
    """
    Return how far out on one side a share of all values lies no further.

    Parameters
    ----------
    side : array
        int64 ``[C, slots]``: the counts of the side; all other values lie within.
    share : float
        In [0, 1].
    statistics : Histogram
        What the counts are of.
    limit : array
        float32 ``[C]``: the magnitude of the outermost value of the side.

    Returns
    -------
    array
        float32 ``[C]``: 0 if the share is reached without the side.
    """
    n = statistics.zeros + xp.sum(statistics.counts, axis=(1, 2))
    rank = _rank(share, n, xp=xp) - (n - xp.sum(side, axis=1))
    return _quantile(side, rank, statistics, limit, xp=xp)


def _rank(share: float, n: Array, *, xp: Namespace) -> Array:
    """Return which of `n` values leaves the share behind it, counted from 1.

    A share is a rounded number, so a product just above an integer means that integer.
    """
    fraction = 1.0 if share == 1 else share * (1 - 2.0**-50)
    return xp.astype(xp.ceil(xp.astype(n, xp.float64) * fraction), xp.int64)


def _quantile(
    side: Array, rank: Array, statistics: Histogram, limit: Array, *, xp: Namespace
) -> Array:
    """Return the magnitude of the value of a rank counted outwards on one side.

    All is integer arithmetic, exact, but for one division and a sum that no library
    fuses; float32 ``[C]``, 0 where the rank is not positive.
    """
    running = xp.cumulative_sum(side, axis=1)
    slot = xp.sum(xp.astype(running < rank[:, None], xp.int64), axis=1)
    slot = xp.minimum(slot, xp.full_like(slot, statistics.slots - 1))
    held = gather(side, slot[:, None], xp=xp)[:, 0]
    before = gather(running, slot[:, None], xp=xp)[:, 0] - held
    within, held = (xp.astype(x, xp.float64) for x in (rank - before, held))
    share = divide(within, xp.maximum(held, xp.ones_like(held)), xp=xp)
    reach = (xp.astype(slot, xp.float64) + share) * statistics.width
    reach = xp.minimum(reach, xp.astype(limit, xp.float64))
    return xp.astype(xp.where(rank > 0, reach, xp.zeros_like(reach)), xp.float32)
