"""How far quantized data will be from what statistics describe."""

from qcore.errors import StatisticsError
from qcore.libraries import arithmetic, check_library, namespace
from qcore.methods.density import second_moment
from qcore.methods.grid_error import grid_error
from qcore.similarity import decibels
from qcore.spec import QParams
from qcore.statistics import Histogram
from qcore.typing import Array, Namespace

METRICS = ("mse", "lp", "sqnr")
MOST_P = 8
"""Powers of float32 numbers up to this one are float64 numbers."""
"""What errors may be measured by."""


def expected_error(
    statistics: Histogram,
    qparams: QParams,
    /,
    *,
    metric: str = "mse",
    p: float = 2.0,
    clipping_weight: float = 1.0,
    xp: Namespace | None = None,
) -> Array:
    """
    Return the error of quantizing values that lie evenly in their slots.

    Parameters
    ----------
    statistics : Histogram
        What was collected, with C entries.
    qparams : QParams
        C scales, or one for all entries.
    metric : {"mse", "lp", "sqnr"}, optional
        Mean squared error over all finite values, zeros too; mean of ``|error|**p``; or
        the signal's mean square over the mean squared error, in dB.
    p : float, optional
        The norm of ``"lp"``, in (0, 8]; llm-compressor takes 2.4.
    clipping_weight : float, optional
        How much the error of values beyond the range counts, 0 or more; AIMET takes 3.

    Returns
    -------
    array
        float64 ``[C]``; NaN where no finite value was seen, and of ``"sqnr"`` where all
        values were zero.

    Raises
    ------
    ValueError
        If an option is out of range or the number of scales does not fit.
    StatisticsError
        If the statistics are not a Histogram.
    """
    power = check_metric(metric, p, clipping_weight)
    if not isinstance(statistics, Histogram):
        raise StatisticsError(
            f"the expected error needs Histogram; got {type(statistics).__name__}."
        )
    xp = namespace(statistics.min, xp)
    check_library(qparams.scale, xp, "scales")
    with arithmetic(xp):
        counts, width = statistics.counts, statistics.width
        scale = _flat(xp.astype(qparams.scale, xp.float64), statistics.channels, xp=xp)
        zero_point = _flat(qparams.zero_point, statistics.channels, xp=xp)
        fmt = qparams.spec.format
        below = xp.astype(zero_point, xp.float64) - getattr(fmt, "qmin", 0)
        parts = grid_error(counts, scale / width, below, fmt, power, xp=xp)
        error = parts.inside + clipping_weight * parts.clipped
        if metric == "sqnr":
            return decibels(second_moment(counts, xp=xp), error, xp=xp)
        n = xp.astype(statistics.zeros + xp.sum(counts, axis=(1, 2)), xp.float64)
        return error * width**power / n


def check_metric(metric: str, p: float, clipping_weight: float) -> float:
    """Return the power of the errors that a metric averages.

    Raises
    ------
    ValueError
        If the metric is unknown or a number out of range.
    """
    if metric not in METRICS:
        raise ValueError(f"`metric` must be one of {METRICS}; got {metric!r}.")
    if not 0 < p <= MOST_P:
        raise ValueError(f"`p` must lie in (0, {MOST_P}]; got {p!r}.")
    if not 0 <= clipping_weight < float("inf"):
        raise ValueError(
            "`clipping_weight` must be finite and not negative; "
            f"got {clipping_weight!r}."
        )
    return float(p) if metric == "lp" else 2.0


def _flat(x: Array, channels: int, *, xp: Namespace) -> Array:
    """Return one number for each entry of the statistics."""
    flat = xp.reshape(x, (-1,))
    if flat.shape[0] not in (1, channels):
        raise ValueError(f"`qparams` must have {channels} scales; got {flat.shape[0]}.")
    return xp.broadcast_to(flat, (channels,))
