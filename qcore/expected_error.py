"""How far quantized data will be from what statistics describe."""

from qcore.errors import StatisticsError
from qcore.formats import FloatFormat
from qcore.libraries import arithmetic, namespace
from qcore.methods.squared_error import affine_error, sides_of, symmetric_error
from qcore.spec import QParams
from qcore.statistics import Histogram
from qcore.typing import Array, Namespace


def expected_error(
    statistics: Histogram,
    qparams: QParams,
    /,
    *,
    metric: str = "mse",
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
    metric : {"mse", "sqnr"}, optional
        Mean squared error over all finite values, zeros too; or the signal's mean
        square over that error, in dB.

    Returns
    -------
    array
        float64 ``[C]``; NaN where no finite value was seen.

    Raises
    ------
    ValueError
        If the metric is unknown or the number of scales does not fit.
    StatisticsError
        If the statistics are not a Histogram.
    """
    if metric not in ("mse", "sqnr"):
        raise ValueError(f"`metric` must be 'mse' or 'sqnr'; got {metric!r}.")
    if not isinstance(statistics, Histogram):
        raise StatisticsError(
            f"the expected error needs Histogram; got {type(statistics).__name__}."
        )
    xp = namespace(statistics.min, xp)
    with arithmetic(xp):
        counts, width = statistics.counts, statistics.width
        scale = _flat(xp.astype(qparams.scale, xp.float64), statistics.channels, xp=xp)
        zero_point = _flat(qparams.zero_point, statistics.channels, xp=xp)
        steps = (scale / width)[:, None]
        fmt = qparams.spec.format
        sides = sides_of(counts, xp=xp)
        if isinstance(fmt, FloatFormat) or qparams.spec.symmetric:
            error = symmetric_error(counts, steps, fmt, xp=xp)[:, 0]
        else:
            below = xp.astype(zero_point, xp.float64)[:, None] - fmt.qmin
            error = affine_error(sides, steps, below, fmt.qmax - fmt.qmin, xp=xp)[:, 0]
        n = xp.astype(statistics.zeros + xp.sum(counts, axis=(1, 2)), xp.float64)
        if metric == "sqnr":
            return 10 * xp.log10(sides.moment / error)
        return error * width * width / n


def _flat(x: Array, channels: int, *, xp: Namespace) -> Array:
    """Return one number for each entry of the statistics."""
    flat = xp.reshape(x, (-1,))
    if flat.shape[0] not in (1, channels):
        raise ValueError(f"`qparams` must have {channels} scales; got {flat.shape[0]}.")
    return xp.broadcast_to(flat, (channels,))
