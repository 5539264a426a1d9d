"""The mean error of a layer's output, which its bias can take out.

Rounding weights and inputs shifts the mean of every output channel ("Data-Free
Quantization Through Weight Equalization and Bias Correction", Nagel et al.,
arXiv:1906.04721, section 4.2). The shift is known from weights and the mean input, or
measured, where inputs are quantized too and edges padded.
"""

from qcore.arithmetic import broadcast, to_computing_dtype
from qcore.errors import StatisticsError
from qcore.granularity import PerChannel, normalize_axes
from qcore.libraries import arithmetic, is_concrete, namespace
from qcore.statistics import Moments
from qcore.statistics.fixed_point import LOWEST, carried, exact_sum, to_float64
from qcore.typing import Array, Axes, Namespace

_BITS = (LOWEST, 256)
"""Of products of float32 numbers."""


def bias_correction(
    expected: Moments, found: Moments, /, *, xp: Namespace | None = None
) -> Array:
    """
    Return what to add to a layer's bias to give its output the expected mean.

    Parameters
    ----------
    expected, found : Moments
        Of the layer's output, per channel, as it was and as it is when quantized, for
        the same data.

    Returns
    -------
    array
        float32, of the shape of the statistics' scales; 0 where nothing was seen.

    Raises
    ------
    TypeError
        If one is not Moments.
    ValueError
        If they were not collected alike.
    StatisticsError
        If they have not seen equally many finite values.
    """
    for name, given in (("expected", expected), ("found", found)):
        if not isinstance(given, Moments):
            raise TypeError(f"`{name}` must be Moments; got {type(given).__name__}.")
    expected._check_alike(found)
    xp = namespace(expected.min, xp)
    with arithmetic(xp):
        differs = xp.any(expected.count != found.count)
        if is_concrete(differs, xp) and bool(differs):
            raise StatisticsError(
                "`expected` and `found` must have seen the same data; got "
                f"{int(xp.sum(expected.count))} and {int(xp.sum(found.count))} values."
            )
        # Subtracted before anything is rounded: the difference is small.
        limbs = carried(expected.sums[:, 0, :] - found.sums[:, 0, :], xp=xp)
        n = xp.maximum(found.count, xp.ones_like(found.count))
        mean = to_float64(limbs, xp=xp) / xp.astype(n, xp.float64)
        return xp.reshape(xp.astype(mean, xp.float32), found.extents)


def expected_bias_correction(
    weights: Array,
    rounded: Array,
    mean: Array,
    /,
    axis: Axes = 0,
    *,
    xp: Namespace | None = None,
) -> Array:
    """
    Return what to add to a bias to make up for rounded weights, from the mean input.

    Parameters
    ----------
    weights, rounded : array
        Floating-point, of one shape: before and after fake quantization.
    mean : array
        Mean of what each weight is multiplied with, such as `Moments.mean` per input
        channel; floating-point, broadcasting to the weights.
    axis : int or tuple of int, optional
        Axes of the output channels, which are kept.

    Returns
    -------
    array
        float32, of the kept axes' shape; NaN where a product is not finite.

    Raises
    ------
    TypeError
        If one is not floating-point.
    ValueError
        If the shapes do not fit.

    Notes
    -----
    The sum over a channel's weights is exact, so that every library returns the same.
    """
    xp = namespace(weights, xp)
    with arithmetic(xp):
        kept = normalize_axes(axis, weights.ndim)
        if weights.shape != rounded.shape:
            raise ValueError(
                "`rounded` must have the shape of the weights; got "
                f"{tuple(rounded.shape)} and {tuple(weights.shape)}."
            )
        before, after, factor = (
            xp.astype(to_computing_dtype(x, xp=xp), xp.float64)
            for x in (weights, rounded, mean)
        )
        shift = (before - after) * broadcast(factor, weights, "mean", xp=xp)
        rows, _ = PerChannel(kept).to_rows(shift, xp=xp)
        is_number = xp.abs(rows) < 2.0 ** _BITS[1]
        total = exact_sum(xp.where(is_number, rows, xp.zeros_like(rows)), _BITS, xp=xp)
        total = to_float64(total, xp=xp)
        nan = xp.full_like(total, float("nan"))
        total = xp.where(xp.all(is_number, axis=1), total, nan)
        total = xp.reshape(total, tuple(weights.shape[a] for a in kept))
        return xp.astype(total, xp.float32)
