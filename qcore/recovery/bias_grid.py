"""Biases as integer arithmetic has them: whole multiples of input scale x weight scale.

Then a layer of integers adds up integers alone. In float32 its sums are exact, too, and
so equal in any order, as long as the scales are powers of two and sums stay below
2**24 of their product.
"""

from qcore.arithmetic import broadcast, check_floating, divide
from qcore.libraries import arithmetic, namespace
from qcore.typing import Array, Namespace

QMIN, QMAX = -(2**31), 2**31 - 1
"""Of the integers that are added up."""


def round_bias(bias: Array, scale: Array, /, *, xp: Namespace | None = None) -> Array:
    """
    Return biases rounded to what 32-bit accumulators can be given.

    Parameters
    ----------
    bias : array
        Floating-point, one for each output channel.
    scale : array
        Scale of the input x scales of the weights, positive and finite; broadcasts to
        `bias`.

    Returns
    -------
    array
        ``code * scale`` with an int32 code, half to even, in the dtype of `bias`.

    Raises
    ------
    TypeError
        If one is not floating-point.
    ValueError
        If the shapes do not fit.
    """
    xp = namespace(bias, xp)
    check_floating(bias, "`bias`")
    check_floating(scale, "`scale`")
    with arithmetic(xp):
        step = xp.astype(broadcast(scale, bias, "scale", xp=xp), xp.float64)
        codes = xp.round(divide(xp.astype(bias, xp.float64), step, xp=xp))
        codes = xp.clip(codes, QMIN, QMAX)
        return xp.astype(codes * step, bias.dtype)
