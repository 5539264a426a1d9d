"""Outliers of activations moved into the weights, channel by channel.

"SmoothQuant: Accurate and Efficient Post-Training Quantization for Large Language
Models" (Xiao et al., arXiv:2211.10438). A layer's input is divided by s, its weights
are multiplied by it: ``s = amax(input)**alpha / amax(weights)**(1 - alpha)``.
"""

from collections.abc import Sequence
from typing import NamedTuple

from array_api_compat import device as device_of

from qcore.affine import fake_quantize
from qcore.arithmetic import TINY, check_floating
from qcore.formats import IntFormat
from qcore.granularity import PerChannel, normalize_axes
from qcore.libraries import arithmetic, check_library, namespace
from qcore.qparams import qparams_from_data, qparams_from_range
from qcore.spec import QuantSpec
from qcore.statistics import Moments, Statistics
from qcore.typing import Array, Namespace

ALPHAS = tuple(i / 20 for i in range(21))
"""Those that are searched; 0 to 1 in the paper's steps of its ablation, halved."""

USUAL_ALPHA = 0.75
"""For transformers; the paper has 0.5 to 0.85, by the model.

The least expected error is another: that of the few tokens with huge values, at whose
cost all others would be rounded.
"""


class Smoothed(NamedTuple):
    """What a layer's input is divided by and its weights are multiplied with.

    Attributes
    ----------
    scale : array
        float32 ``[inputs]``.
    alpha : array
        float32, 0-d: how much of the outliers the weights take; NaN where a search
        found that it is best to leave all as it is.
    """

    scale: Array
    alpha: Array


def smooth_quant(
    statistics: Statistics,
    weights: Sequence[Array],
    /,
    axis: int = 1,
    *,
    alpha: float | None = USUAL_ALPHA,
    input_spec: QuantSpec | None = None,
    weight_spec: QuantSpec | None = None,
    xp: Namespace | None = None,
) -> Smoothed:
    """
    Return what to divide a layer's input by for both it and the weights to round well.

    Parameters
    ----------
    statistics : statistics
        Of the layer's input, one entry for each input: of ``PerChannel(-1)``, say.
        `Moments` of order 2 if alpha is searched.
    weights : sequence of array
        Floating-point, of all layers that have this input.
    axis : int, optional
        Axis of the inputs in all weights.
    alpha : float, optional
        From 0, where all weights are made equally large, to 1, where all inputs are.
        None searches `ALPHAS` for the least expected error of the layers' outputs.
    input_spec, weight_spec : QuantSpec, optional
        How input and weights will be quantized, for the search: by default asymmetric
        uint8, and int8 per tensor.

    Returns
    -------
    Smoothed
        Scales are 1 where an input or its weights were always zero.

    Raises
    ------
    TypeError
        If the statistics are not those needed or a weight is not floating-point.
    ValueError
        If there are no weights, alpha is not from 0 to 1, or shapes do not fit.

    Notes
    -----
    The search takes errors of inputs and of weights as independent, inputs as rounded
    to the nearest of codes between the least and the largest seen.
    """
    if alpha is not None and not 0 <= alpha <= 1:
        raise ValueError(f"`alpha` must be from 0 to 1; got {alpha}.")
    if not isinstance(statistics, Statistics):
        raise TypeError(
            f"`statistics` must be statistics; got {type(statistics).__name__}."
        )
    if alpha is None and not isinstance(statistics, Moments):
        raise TypeError(
            "`statistics` must be Moments for a search of alpha; got "
            f"{type(statistics).__name__}."
        )
    if not weights:
        raise ValueError("`weights` must hold those of at least one layer; got none.")
    xp = namespace(statistics.min, xp)
    with arithmetic(xp):
        rows = [_rows(w, axis, statistics.channels, xp=xp) for w in weights]
        ends = [
            xp.where(xp.isfinite(x), x, xp.zeros_like(x))
            for x in (statistics.min, statistics.max)
        ]
        amax = xp.maximum(xp.abs(ends[0]), xp.abs(ends[1]))
        largest = xp.max(xp.stack([xp.max(xp.abs(w), axis=1) for w in rows]), axis=0)
        if alpha is not None:
            scale = _scale(amax, largest, alpha, xp=xp)
            return Smoothed(scale, xp.full_like(scale[:1], alpha)[0])
        assert isinstance(statistics, Moments)
        power = xp.reshape(statistics.mean_square, (-1,))
        coarse = input_spec or QuantSpec("uint8", symmetric=False)
        fine = weight_spec or QuantSpec("int8")
        scales = [_scale(amax, largest, candidate, xp=xp) for candidate in ALPHAS]
        scales.append(xp.ones_like(scales[0]))
        errors = [
            sum(
                _input_error(row, scale, ends, coarse, xp=xp)
                + _weight_error(weight, axis, scale, power, fine, xp=xp)
                for weight, row in zip(weights, rows, strict=True)
            )
            for scale in scales
        ]
        best = xp.argmin(xp.stack(errors), keepdims=True)
        alphas = (*ALPHAS, float("nan"))
        table = xp.asarray(alphas, dtype=xp.float32, device=device_of(amax))
        return Smoothed(
            xp.take(xp.stack(scales), best, axis=0)[0, :], xp.take(table, best)[0]
        )


def _rows(weight: Array, axis: int, inputs: int, /, *, xp: Namespace) -> Array:
    """Return weights with their inputs as the rows of a matrix, float64."""
    check_floating(weight, "`weights`")
    check_library(weight, xp, "`weights`")
    (kept,) = normalize_axes(axis, weight.ndim)
    if weight.shape[kept] != inputs:
        raise ValueError(
            f"`weights` must have {inputs} inputs, as the statistics have; got "
            f"{weight.shape[kept]} in axis {axis}."
        )
    return _by_input(xp.astype(weight, xp.float64), axis, xp=xp)


def _by_input(x: Array, axis: int, /, *, xp: Namespace) -> Array:
    kept = normalize_axes(axis, x.ndim)
    return PerChannel(kept).to_rows(x, xp=xp)[0]


def _scale(amax: Array, largest: Array, alpha: float, /, *, xp: Namespace) -> Array:
    """Return what an input is divided by, float32 ``[inputs]``."""
    usable = xp.logical_and(amax >= TINY, largest >= TINY)
    one = xp.ones_like(largest)
    outlier = xp.where(usable, xp.astype(amax, xp.float64), one)
    scale = outlier**alpha / xp.where(usable, largest, one) ** (1 - alpha)
    return xp.astype(scale, xp.float32)


def _input_error(
    row: Array, scale: Array, ends: list[Array], spec: QuantSpec, /, *, xp: Namespace
) -> Array:
    """Return the mean squared change of all outputs by rounding of the input."""
    if not isinstance(spec.format, IntFormat):
        return 0.0 * xp.sum(row)  # relative to the input, whatever it is divided by
    lo, hi = xp.min(ends[0] / scale), xp.max(ends[1] / scale)
    step = xp.astype(qparams_from_range(lo, hi, spec, xp=xp).scale, xp.float64)
    weights = row * xp.astype(scale, xp.float64)[:, None]
    return step * step / 12 * xp.sum(weights * weights)


def _weight_error(
    weight: Array,
    axis: int,
    scale: Array,
    power: Array,
    spec: QuantSpec,
    /,
    *,
    xp: Namespace,
) -> Array:
    """Return the mean squared change of all outputs by rounding of the weights."""
    (kept,) = normalize_axes(axis, weight.ndim)
    shape = tuple(n if a == kept else 1 for a, n in enumerate(weight.shape))
    scaled = xp.astype(weight, xp.float32) * xp.reshape(scale, shape)
    rounded = fake_quantize(scaled, qparams_from_data(scaled, spec, xp=xp), xp=xp)
    change = _by_input(xp.astype(rounded - scaled, xp.float64), axis, xp=xp)
    wide = xp.astype(scale, xp.float64)
    return xp.sum(xp.sum(change * change, axis=1) * power / (wide * wide))
