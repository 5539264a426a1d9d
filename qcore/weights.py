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
from qcore.arithmetic import LARGEST, broadcast, to_computing_dtype
from qcore.formats import FloatFormat
from qcore.kernels import map_blocks
from qcore.libraries import arithmetic, check_library, is_concrete, namespace
from qcore.methods.candidates import map_entries
from qcore.methods.density import second_moment
from qcore.methods.ends import best_candidate
from qcore.qparams import qparams_from_amax
from qcore.reduce import reduce_amax
from qcore.spec import QParams, QuantSpec
from qcore.statistics import Histogram
from qcore.typing import Array, Namespace

COARSE = tuple(0.9**i for i in range(21, -1, -1))
"""First candidates, as parts of the largest weight, down to a ninth of it.

They lie so close that `PARTS` of one reach to its neighbour below and half the way to
the one above.
"""

PARTS = tuple(0.85 + 0.003125 * i for i in range(65))
"""Then, as parts of the best of these; wider ranges win ties.

Their distance is less than that of two 8-bit codes, so that between neighbours no
weight moves by more than one code. Few weights may fit a scale slightly larger than
they need by chance.
"""

_OCTAVE = 2.0
"""How far float formats may reach: the spacing of their codes repeats there."""

_LARGEST_RATIO = 100.0
"""Inputs that hardly vary count no more than this."""


def qparams_from_weights(
    weights: Array,
    spec: QuantSpec,
    /,
    *,
    mean_ratio: float | Array = 0.0,
    weight: Array | None = None,
    least: Array | None = None,
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
    mean_ratio : float or array, optional
        Squared mean of the layer's inputs over their variance, as `mean_ratio` has it
        from statistics, float64 ``[]``; 0 gives the least mean squared error of the
        weights.
    weight : array, optional
        How much the squared error of each weight counts, floating-point, not negative,
        broadcasting to `weights`: such as the mean square of the input that it is
        multiplied with, the importance matrix of llama.cpp and llm-compressor.
    least : array, optional
        The smallest magnitudes that scales may reach to, floating-point, broadcasting
        to the shape of the scales, for runtimes without room for more codes.

    Returns
    -------
    QParams
        Of the rank of the weights.

    Raises
    ------
    TypeError
        If the weights, `weight` or `least` are not floating-point.
    ValueError
        If the spec is asymmetric, the ratio negative or infinite, `weight` or `least`
        negative or NaN or of a shape that does not broadcast, or `least` infinite.
    """
    xp = namespace(weights, xp)
    with arithmetic(xp):
        found, level = amax_from_weights(
            weights, spec, mean_ratio, weight, least, xp=xp
        )
        return qparams_from_amax(found, spec, global_scale=level, xp=xp)


def amax_from_weights(
    weights: Array,
    spec: QuantSpec,
    mean_ratio: float | Array = 0.0,
    weight: Array | None = None,
    least: Array | None = None,
    /,
    *,
    xp: Namespace,
) -> tuple[Array, Array | None]:
    """Return the largest magnitudes that `qparams_from_weights` represents.

    They have the shape of the scales; with them the global scale, if the spec has one.
    """
    is_known = isinstance(mean_ratio, int | float) or is_concrete(mean_ratio, xp)
    if is_known and not 0 <= mean_ratio < float("inf"):
        raise ValueError(
            f"`mean_ratio` must be finite and not negative; got {mean_ratio}."
        )
    with arithmetic(xp):
        data = to_computing_dtype(weights, xp=xp)
        rows, keep = spec.granularity.to_rows(data, xp=xp)
        shares = None if weight is None else _shares(weight, weights, spec, xp=xp)
        amax = reduce_amax(rows, axis=1, xp=xp)
        level = qparams_from_amax(amax, spec, xp=xp).global_scale
        shape = spec.granularity.scale_shape(weights.shape)
        floor = _floor(least, amax, shape, xp=xp)

        def best(number: Array) -> Array:
            """Return the best `amax` of some rows, ``[1, B]``."""

            def of(x: Array) -> Array:
                return xp.take(x, number, axis=0)

            values, sizes, smallest = of(rows), of(amax), of(floor)
            held = None if keep is None else of(keep)
            importance = None if shares is None else of(shares)

            def error(amax: Array) -> Array:
                """Return the change of the output of each row, float64 ``[B]``."""
                scale = qparams_from_amax(amax, spec, global_scale=level, xp=xp).scale
                scale = xp.astype(scale, values.dtype)
                zero_point = xp.zeros_like(scale, dtype=xp.int32)
                rounded = to_grid(
                    values, scale, zero_point, spec.format, spec.rounding, xp=xp
                )
                change = xp.astype(rounded - values, xp.float64)
                if held is not None:
                    change = xp.where(held, change, xp.zeros_like(change))
                shift = xp.sum(change, axis=1)
                squares = change * change
                if importance is not None:
                    squares = squares * importance
                error = xp.sum(squares, axis=1) + mean_ratio * (shift * shift)
                refused = (amax < smallest)[:, 0]
                return xp.where(refused, xp.full_like(error, xp.inf), error)

            def best_part(parts: tuple[float, ...], largest: Array) -> Array:
                """Return the best of the parts of an `amax`, ``[B, 1]``."""
                table = xp.asarray(parts, dtype=largest.dtype, device=device_of(rows))
                errors = map_blocks(table, lambda part: error(largest * part), xp=xp)
                errors = xp.permute_dims(errors, (1, 0))
                found = best_candidate(errors, errors >= 0, xp=xp)
                found = xp.where(found < 0, xp.full_like(found, len(parts) - 1), found)
                return largest * xp.take(table, found)[:, None]

            octaves = _OCTAVE if isinstance(spec.format, FloatFormat) else 1.0
            widest = xp.where(sizes <= LARGEST / octaves, sizes * octaves, sizes)
            widest = xp.maximum(widest, smallest)
            return best_part(PARTS, best_part(COARSE, widest))[None, :, 0]

        count, columns = rows.shape
        found = amax
        if count:
            found = map_entries(best, count, columns, xp=xp, device=device_of(weights))
        return xp.reshape(found, shape), level


def _floor(
    least: Array | None, amax: Array, shape: tuple[int, ...], /, *, xp: Namespace
) -> Array:
    """Return the smallest `amax` of each row, for scales of some shape."""
    if least is None:
        return xp.zeros_like(amax)
    check_library(least, xp, "`least`")
    least = to_computing_dtype(least, "`least`", xp=xp)
    if is_concrete(least, xp) and not bool(xp.all((least >= 0) & (least <= LARGEST))):
        raise ValueError("`least` must be finite in float32 and not negative.")
    least = broadcast(least, xp.reshape(amax, shape), "least", xp=xp)
    return xp.astype(xp.reshape(least, amax.shape), amax.dtype)


def _shares(weight: Array, weights: Array, spec: QuantSpec, *, xp: Namespace) -> Array:
    """Return how much each weight counts, as rows of the spec's granularity."""
    check_library(weight, xp, "`weight`")
    weight = to_computing_dtype(weight, "`weight`", xp=xp)
    if is_concrete(weight, xp) and not bool(xp.all(weight >= 0)):
        raise ValueError("`weight` must not be negative or NaN.")
    whole = broadcast(weight, weights, "weight", xp=xp)
    rows: Array = spec.granularity.to_rows(whole, xp=xp)[0]
    return rows


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
        square = second_moment(statistics.counts, xp=xp)
        variance = square / n - mean * mean
        variance = xp.maximum(variance, mean * mean * (1 / _LARGEST_RATIO))
        one = xp.ones_like(variance)
        return mean * mean / xp.where(variance > 0, variance, one)
