"""Scales for weights, which are all known: the layer's output decides.

A layer with weights w and inputs x of mean m and variance v, independent of each other,
changes its output by ``d = quantized(w) - w`` on average by

    E[(sum of d x)**2] = v * sum of d**2 + m**2 * (sum of d)**2

The second term is the shift of the mean that rounding leaves behind ("Data-Free
Quantization", Nagel et al., arXiv:1906.04721, takes it out through the bias). After a
ReLU it outweighs the first, and a slightly smaller scale often makes it vanish.
"""

from array_api_compat import device as device_of

from qcore.affine import to_grid
from qcore.arithmetic import to_computing_dtype
from qcore.kernels import map_blocks
from qcore.libraries import arithmetic, namespace
from qcore.methods.density import second_moment
from qcore.methods.ends import best_candidate
from qcore.qparams import qparams_from_amax
from qcore.reduce import reduce_amax
from qcore.spec import QParams, QuantSpec
from qcore.statistics import Histogram
from qcore.typing import Array, Namespace

PARTS = tuple(0.8 + 0.0025 * i for i in range(81))
"""Candidates, as parts of the range of the weights; wider ranges win ties.

Their distance is less than that of two 8-bit codes, so that between neighbours no
weight moves by more than one code.
"""

_LARGEST_RATIO = 100.0
"""Inputs that hardly vary count no more than this."""


def qparams_from_weights(
    weights: Array,
    spec: QuantSpec,
    /,
    *,
    mean_ratio: float = 0.0,
    xp: Namespace | None = None,
) -> QParams:
    """
    Return the scales under which the output of a layer is expected to change least.

    Parameters
    ----------
    weights : array
        Floating-point, of any shape.
    spec : QuantSpec
        Symmetric; its granularity says which weights share a scale, such as those of an
        output channel, whose products are added up.
    mean_ratio : float, optional
        Squared mean of the layer's inputs over their variance, as `mean_ratio` has it
        from statistics; 0 gives the least mean squared error of the weights.

    Returns
    -------
    QParams
        Of the rank of the weights.

    Raises
    ------
    TypeError
        If the weights are not floating-point.
    ValueError
        If the spec is asymmetric or the ratio negative.
    """
    if not mean_ratio >= 0:
        raise ValueError(f"`mean_ratio` must not be negative; got {mean_ratio}.")
    xp = namespace(weights, xp)
    with arithmetic(xp):
        data = to_computing_dtype(weights, xp=xp)
        rows, keep = spec.granularity.to_rows(data, xp=xp)
        amax = reduce_amax(rows, axis=1, xp=xp)
        zero_point = xp.zeros_like(amax, dtype=xp.int32)

        def error(part: Array) -> Array:
            scale = qparams_from_amax(amax * part, spec, xp=xp).scale
            scale = xp.astype(scale, rows.dtype)
            change = to_grid(rows, scale, zero_point, spec.format, xp=xp) - rows
            change = xp.astype(change, xp.float64)
            if keep is not None:
                change = xp.where(keep, change, xp.zeros_like(change))
            shift = xp.sum(change, axis=1)
            return xp.sum(change * change, axis=1) + mean_ratio * (shift * shift)

        parts = xp.asarray(PARTS, dtype=rows.dtype, device=device_of(weights))
        errors = xp.permute_dims(map_blocks(parts, error, xp=xp), (1, 0))
        best = best_candidate(errors, errors >= 0, xp=xp)
        best = xp.where(best < 0, xp.full_like(best, len(PARTS) - 1), best)
        amax = amax[:, 0] * xp.take(parts, best)
        shape = spec.granularity.scale_shape(weights.shape)
        return qparams_from_amax(xp.reshape(amax, shape), spec, xp=xp)


def mean_ratio(statistics: Histogram, /, *, xp: Namespace | None = None) -> Array:
    """
    Return squared mean over variance of the values that statistics describe.

    Parameters
    ----------
    statistics : Histogram
        What was collected, with C entries.

    Returns
    -------
    array
        float64 ``[C]``, at most 100; 0 where no finite value was seen.
    """
    xp = namespace(statistics.min, xp)
    with arithmetic(xp):
        counts = xp.astype(statistics.counts, xp.float64)
        negative, positive = counts[:, 0, :], counts[:, 1, :]
        middle = xp.arange(statistics.slots, dtype=xp.float64, device=device_of(counts))
        middle = middle + 0.5
        n = xp.sum(counts, axis=(1, 2)) + xp.astype(statistics.zeros, xp.float64)
        n = xp.maximum(n, xp.ones_like(n))
        mean = xp.sum((positive - negative) * middle, axis=1) / n
        square = second_moment(negative, xp=xp) + second_moment(positive, xp=xp)
        variance = square / n - mean * mean
        variance = xp.maximum(variance, mean * mean * (1 / _LARGEST_RATIO))
        one = xp.ones_like(variance)
        return mean * mean / xp.where(variance > 0, variance, one)
