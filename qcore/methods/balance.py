"""Which windows lose no more to saturation than to rounding."""

from qcore.formats import FloatFormat, IntFormat
from qcore.kernels import Kernel
from qcore.methods.density import tail_of
from qcore.methods.squared_error import fine_parts, symmetric_error
from qcore.spec import QuantSpec
from qcore.typing import Array, Namespace


@Kernel
def is_balanced(
    counts: Array, below: Array, above: Array, spec: QuantSpec, /, *, xp: Namespace
) -> Array:
    """
    Return whether the squared error beyond a window is at most the one inside it.

    The best window rounds about as finely as it saturates little; one that is balanced
    and narrower has at most about twice its error.

    Parameters
    ----------
    counts : array
        int64 ``[C, 2, slots]``, negative values first.
    below, above : array
        float64 ``[C, S]`` or ``[1, S]``: how far the windows reach on the two sides, in
        slots, in ascending order; the last holds all values that the format can.
    spec : QuantSpec
        How the tensor is to be quantized.

    Returns
    -------
    array
        Booleans ``[C, S]``.
    """
    fmt = spec.format
    if spec.symmetric:
        step = above * (1 / fmt.max)
    else:
        assert isinstance(fmt, IntFormat)  # QuantSpec refuses asymmetric floats
        step = (below + above) * (1 / (fmt.qmax - fmt.qmin))
    inside, beyond = [], []
    for sign, reach in enumerate((below, above)):
        tail = tail_of(counts[:, sign, :], xp=xp)
        rounded, saturated = fine_parts(tail, step, reach, xp=xp)
        inside.append(rounded)
        beyond.append(saturated)
    lost, rounded = beyond[0] + beyond[1], inside[0] + inside[1]
    if isinstance(fmt, FloatFormat):
        rounded = symmetric_error(counts, step, fmt, xp=xp) - lost
    return lost - lost[:, -1:] <= rounded
