"""Keep the largest value of as many rows as possible the largest.

The order-preserving calibration of PPQ (``isotone``) for the outputs of softmax and
sigmoid, where just the class matters. PPQ takes the first best scale it meets; here it
is the largest one that need not reach beyond the values seen.
"""

from array_api_compat import device as device_of

from qcore.errors import StatisticsError
from qcore.formats import IntFormat
from qcore.methods.ends import best_candidate, spanned
from qcore.methods.registry import register_method
from qcore.spec import QuantSpec
from qcore.statistics.top2 import Top2, scale_grid
from qcore.typing import Array, Namespace


@register_method("isotone", needs=(Top2,))
def isotone(
    statistics: Top2, spec: QuantSpec, /, *, xp: Namespace
) -> tuple[Array, Array]:
    """
    Return the range under which the most rows keep their order.

    Of equally good scales of the grid of `qcore.Top2` the largest wins, up to the first
    that holds all values seen: a larger one keeps no row that this one does not. Where
    no row has an order to keep, the range is that of the values seen.

    Parameters
    ----------
    statistics : Top2
        What was collected, for the format's highest code.
    spec : QuantSpec
        Integers. Symmetric: the range reaches to the highest code. Asymmetric: from the
        lowest to the highest code with zero point 0, as in PPQ. For statistics of a
        format with as many codes above zero as this one has in all (``"uint8"`` for
        ``"int8"``) the zero point is the lowest code, which leaves no code unused where
        nothing is negative.

    Raises
    ------
    StatisticsError
        If the statistics are for codes up to another number.
    """
    below, above = _codes(statistics, spec)
    scales = scale_grid(statistics.min, xp=xp)
    rows = xp.sum(statistics.starts, axis=1)
    low, high = spanned(statistics.min, statistics.max, spec, xp=xp)
    amax = xp.astype(xp.maximum(-low, high) if below else high, xp.float64)
    # L2 < L1 <= (qmax - 1/2) scale: no row needs a larger scale to tell them apart.
    enough = xp.searchsorted(scales * (above - 0.5), amax, side="left")
    slot = xp.arange(scales.shape[0], dtype=xp.int64, device=device_of(scales))
    is_float32 = scales * max(above, below) < 2.0**128
    allowed = xp.logical_and(slot <= enough[:, None], is_float32[None, :])
    lost = xp.astype(rows[:, None] - statistics.kept, xp.float64)
    best = xp.take(scales, best_candidate(lost, allowed, xp=xp))

    found = rows > 0
    lo = xp.where(found, xp.astype(-below * best, xp.float32), low)
    hi = xp.where(found, xp.astype(above * best, xp.float32), high)
    return lo, hi


def _codes(statistics: Top2, spec: QuantSpec) -> tuple[int, int]:
    """Return how many codes lie below zero and above it."""
    fmt, qmax = spec.format, statistics.qmax
    if isinstance(fmt, IntFormat):
        if fmt.qmax == qmax:
            mirrored = spec.symmetric and fmt.signed
            return (qmax if mirrored else -fmt.qmin), qmax
        if fmt.qmax - fmt.qmin == qmax and not spec.symmetric:
            return 0, qmax
    raise StatisticsError(
        "statistics must be collected for the codes of the spec's format, "
        f"{fmt.name}; got codes up to {qmax}."
    )
