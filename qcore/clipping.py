"""Data limited by bounds that broadcast, and what passes back through the limits."""

from math import prod

from qcore.arithmetic import broadcast, to_computing_dtype
from qcore.libraries import arithmetic, namespace
from qcore.typing import Array, Namespace


def clip(
    inputs: Array, low: Array, high: Array, /, *, xp: Namespace | None = None
) -> Array:
    """
    Return the inputs limited to ``[low, high]``.

    Parameters
    ----------
    inputs : array
        Floating-point data of any shape.
    low, high : array
        The bounds; they broadcast against `inputs`.

    Returns
    -------
    array
        ``max(min(inputs, high), low)``, of the shape and dtype of `inputs`; NaN stays
        NaN.

    Raises
    ------
    TypeError
        If the inputs or a bound are not floating-point.
    ValueError
        If a bound does not broadcast.
    """
    xp = namespace(inputs, xp)
    with arithmetic(xp):
        x = to_computing_dtype(inputs, xp=xp)
        low, high = _bounds(low, high, x, xp=xp)
        limited = xp.maximum(xp.minimum(x, high), low)
        return xp.astype(limited, inputs.dtype)


def gradient_within(
    gradient: Array,
    inputs: Array,
    low: Array,
    high: Array,
    /,
    *,
    xp: Namespace | None = None,
) -> Array:
    """
    Return the gradient that passes straight through where ``low <= inputs <= high``.

    Parameters
    ----------
    gradient : array
        Of a result of the shape of `inputs`.
    inputs : array
        Floating-point data of any shape.
    low, high : array
        Ends of the range; they broadcast against `inputs`.

    Returns
    -------
    array
        Like `gradient`; zero beyond the ends, and where an input is NaN.
    """
    xp = namespace(inputs, xp)
    with arithmetic(xp):
        x = to_computing_dtype(inputs, xp=xp)
        low, high = _bounds(low, high, x, xp=xp)
        return _where(xp.logical_and(low <= x, x <= high), gradient, xp=xp)


def gradients_of_clip(
    gradient: Array,
    inputs: Array,
    low: Array,
    high: Array,
    /,
    *,
    xp: Namespace | None = None,
) -> tuple[Array, Array, Array]:
    """
    Return the gradient of clipped data, shared out among the data and its bounds.

    It is that of PACT (Choi et al., "PACT: Parameterized Clipping Activation for
    Quantized Neural Networks", 2018): an input at a bound counts as clipped.

    Parameters
    ----------
    gradient, inputs, low, high
        As in `gradient_within`.

    Returns
    -------
    of_inputs, of_low, of_high : array
        Like `gradient` and zero but where ``low < inputs < high``, ``inputs <= low``
        and ``inputs >= high``. The gradient of a bound is the sum of its own.
    """
    xp = namespace(inputs, xp)
    with arithmetic(xp):
        x = to_computing_dtype(inputs, xp=xp)
        low, high = _bounds(low, high, x, xp=xp)
        return (
            _where(xp.logical_and(low < x, x < high), gradient, xp=xp),
            _where(x <= low, gradient, xp=xp),
            _where(x >= high, gradient, xp=xp),
        )


def fitted_bound(bound: Array, x: Array, name: str, *, xp: Namespace) -> Array:
    """Return a bound of data in the data's dtype, a single one without its axes."""
    bound = xp.astype(to_computing_dtype(bound, xp=xp), x.dtype)
    if prod(bound.shape) == 1:
        return xp.reshape(bound, ())
    broadcast(bound, x, name, xp=xp)
    return bound


def _bounds(low: Array, high: Array, x: Array, *, xp: Namespace) -> tuple[Array, Array]:
    return fitted_bound(low, x, "low", xp=xp), fitted_bound(high, x, "high", xp=xp)


def _where(is_kept: Array, gradient: Array, *, xp: Namespace) -> Array:
    return xp.where(is_kept, gradient, xp.zeros_like(gradient))
