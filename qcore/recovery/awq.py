"""Weights of large inputs made larger before they are rounded, for rounding them less.

"AWQ: Activation-aware Weight Quantization for LLM Compression and Acceleration" (Lin et
al., arXiv:2306.00978): each input is divided by ``s = size**alpha`` and its weights are
multiplied by it, with the alpha that changes the layer's output least; then scales are
searched that clip the largest weights. The size of an input is here its root mean
square; the paper has the mean magnitude.
"""

from typing import NamedTuple

from array_api_compat import device as device_of

from qcore.affine import fake_quantize
from qcore.arithmetic import check_floating, to_computing_dtype
from qcore.granularity import normalize_axes
from qcore.libraries import arithmetic, namespace
from qcore.qparams import qparams_from_data
from qcore.recovery.layer_rows import to_rows
from qcore.recovery.output_error import output_error
from qcore.spec import QParams, QuantSpec
from qcore.statistics import Gram
from qcore.typing import Array, Namespace
from qcore.weights import qparams_from_weights

ALPHAS = tuple(i / 20 for i in range(20))
"""Those that are searched, as in the authors' program."""

_EXTREME = 1e-4
"""Least size of an input, as a part of the largest."""


class ActivationAware(NamedTuple):
    """How a layer is to be rounded.

    Attributes
    ----------
    scale : array
        float32 ``[inputs]``: what the input is divided by and weights are multiplied
        with.
    qparams : QParams
        Of the weights once multiplied.
    alpha : array
        float32, 0-d: the power of the inputs' sizes that was best; with 0 scales are 1.
    """

    scale: Array
    qparams: QParams
    alpha: Array


def awq(
    weights: Array,
    gram: Gram,
    spec: QuantSpec,
    /,
    axis: int = 0,
    *,
    clip: bool = True,
    xp: Namespace | None = None,
) -> ActivationAware:
    """
    Return what to multiply weights with, and their scales, for rounding to the nearest.

    Parameters
    ----------
    weights : array
        Floating-point, of two axes: outputs and inputs.
    gram : Gram
        Of the layer's input, of one group.
    spec : QuantSpec
        How the weights are to be quantized; symmetric if `clip`.
    axis : int, optional
        Axis of the outputs.
    clip : bool, optional
        Search scales that clip the largest weights, too.

    Returns
    -------
    ActivationAware
        The layer's output error is no larger than without.

    Raises
    ------
    TypeError
        If the weights are not floating-point, or `gram` not a Gram of their library.
    ValueError
        If the weights have other axes or shapes do not fit.
    """
    xp = namespace(weights, xp)
    check_floating(weights, "`weights`")
    if weights.ndim != 2:
        raise ValueError(
            "`weights` must have two axes, outputs and inputs; got the shape "
            f"{tuple(weights.shape)}."
        )
    shape = (1, -1) if normalize_axes(axis, 2) == (0,) else (-1, 1)
    with arithmetic(xp):
        to_rows(weights, gram, axis, xp=xp)  # or raise
        if gram.channels != 1:
            raise ValueError(f"`gram` must be of one group; got {gram.channels}.")
        data = to_computing_dtype(weights, xp=xp)
        power = xp.reshape(xp.linalg.diagonal(gram.second_moment), (-1,))

        def scaled(alpha: float | Array) -> tuple[Array, Array]:
            scale = xp.astype(_scale(power, alpha, xp=xp), data.dtype)
            return scale, data * xp.reshape(scale, shape)

        def error(alpha: float | Array, qparams: QParams | None = None) -> Array:
            """Return the mean squared change of all outputs together, 0-d."""
            scale, larger = scaled(alpha)
            if qparams is None:
                qparams = qparams_from_data(larger, spec, xp=xp)
            rounded = fake_quantize(larger, qparams, xp=xp) / xp.reshape(scale, shape)
            return xp.sum(output_error(data, rounded, gram, axis, xp=xp))

        errors = xp.stack([error(alpha) for alpha in ALPHAS])
        table = xp.asarray(ALPHAS, dtype=xp.float64, device=device_of(power))
        alpha = xp.take(table, xp.argmin(errors, keepdims=True))
        scale, larger = scaled(alpha)
        qparams = qparams_from_data(larger, spec, xp=xp)
        if clip:
            wide = xp.astype(scale, xp.float64)
            weight = xp.reshape(power / (wide * wide), shape)
            clipped = qparams_from_weights(larger, spec, weight=weight, xp=xp)
            is_better = error(alpha, clipped) < xp.min(errors)
            qparams = _either(is_better, clipped, qparams, xp=xp)
        alpha = xp.astype(alpha[0], xp.float32)
        return ActivationAware(xp.astype(scale, xp.float32), qparams, alpha)


def _scale(power: Array, alpha: float | Array, /, *, xp: Namespace) -> Array:
    """Return what inputs of such mean squares are divided by, float64 ``[inputs]``."""
    size = xp.sqrt(power)
    largest = xp.max(size)
    size = xp.where(largest > 0, size, xp.ones_like(size))
    scale = xp.maximum(size, _EXTREME * xp.max(size)) ** alpha
    return scale / xp.sqrt(xp.max(scale) * xp.min(scale))


def _either(
    is_first: Array, first: QParams, second: QParams, /, *, xp: Namespace
) -> QParams:
    """Return one or the other."""
    level = second.global_scale
    if level is not None:
        level = xp.where(is_first, first.global_scale, level)
    return QParams(
        xp.where(is_first, first.scale, second.scale),
        xp.where(is_first, first.zero_point, second.zero_point),
        second.spec,
        level,
    )
