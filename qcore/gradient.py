"""The gradient of fake quantization: straight through, and learnable steps.

Rounding has the gradient zero almost everywhere; the straight-through estimator (Bengio
et al., "Estimating or Propagating Gradients Through Stochastic Neurons", 2013) takes it
for the identity within the range. The gradient of the scale is that of "Learned Step
Size Quantization" (Esser et al., ICLR 2020), without its heuristic factor.
"""

from qcore.affine import aligned, fitting, in_steps, rounded, steps_of
from qcore.arithmetic import check_floating
from qcore.formats import FloatFormat
from qcore.kernels import Kernel
from qcore.libraries import arithmetic, check_library, is_concrete, namespace
from qcore.minifloat import round_to_format
from qcore.spec import QParams, QuantSpec
from qcore.typing import Array, Namespace


def straight_through(
    gradient: Array, x: Array, qparams: QParams, /, *, xp: Namespace | None = None
) -> tuple[Array, Array]:
    """
    Return the gradients that `fake_quantize` passes on.

    Parameters
    ----------
    gradient : array
        Of the result of ``fake_quantize(x, qparams)``, of its shape.
    x : array
        The data that was quantized.
    qparams : QParams
        The scales and zero points it was quantized with.

    Returns
    -------
    of_x : array
        Of the shape and dtype of `gradient`: the gradient where ``x / scale`` is
        rounded to a code of the format (of a float format: does not exceed its largest
        number), and zero where it saturates or is NaN.
    of_scale : array
        float32, of the shape of the scales: the sum of the gradient times
        ``x̂ / scale - x / scale``, the last term left out where it saturates. The order
        in which libraries add up differs, so the last bits do.

    Raises
    ------
    TypeError
        If `x` or `gradient` is not floating-point.
    ValueError
        If the scales do not fit `x` or the shapes of `gradient` and `x` differ.
    """
    xp = namespace(x, xp)
    if is_concrete(gradient, xp):
        check_library(gradient, xp, "`gradient`")
    check_floating(gradient, "`gradient`")
    if gradient.shape != x.shape:
        raise ValueError(
            f"`gradient` must have the shape of the data, {tuple(x.shape)}; got "
            f"{tuple(gradient.shape)}."
        )
    with arithmetic(xp):
        scale, zero_point = fitting(x, qparams, xp=xp)
        of_x, of_scale = fake_quantize_gradient(
            gradient, x, scale, zero_point, qparams.spec, xp=xp
        )
        return of_x, xp.reshape(of_scale, qparams.scale.shape)


@Kernel
def fake_quantize_gradient(
    gradient: Array,
    x: Array,
    scale: Array,
    zero_point: Array,
    spec: QuantSpec,
    /,
    *,
    xp: Namespace,
) -> tuple[Array, Array]:
    """Return the gradients of data and scale; the parameters are in `quantize_data`.

    That of the scale is float32 and has the shape of `scale`.
    """
    data, step, zero_point = aligned(x, scale, zero_point, spec.granularity, xp=xp)
    fmt = spec.format
    quotient = in_steps(data, step, spec.rounding, xp=xp)
    if isinstance(fmt, FloatFormat):
        is_inside = xp.abs(quotient) <= fmt.max
        steps = round_to_format(quotient, fmt, spec.rounding, xp=xp)
    else:
        codes = rounded(quotient, zero_point, spec.rounding, xp=xp)
        is_inside = xp.logical_and(codes >= fmt.qmin, codes <= fmt.qmax)
        steps = steps_of(codes, zero_point, fmt, xp=xp)
    zero = xp.zeros_like(quotient)
    slope = xp.astype(steps - xp.where(is_inside, quotient, zero), xp.float64)
    parts = xp.astype(gradient, xp.float64) * slope
    if scale.ndim:
        rows, _ = spec.granularity.to_rows(parts, xp=xp)
        of_scale = xp.sum(rows, axis=1)
    else:
        of_scale = xp.sum(parts)
    return (
        xp.where(is_inside, gradient, xp.zeros_like(gradient)),
        xp.astype(xp.reshape(of_scale, scale.shape), xp.float32),
    )
