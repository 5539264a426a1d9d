"""Which windows lose no more to saturation than to rounding."""

from qcore.formats import FloatFormat
from qcore.methods.density import mass_and_square_beyond, tail_of
from qcore.methods.squared_error import symmetric_error
from qcore.spec import QuantSpec
from qcore.typing import Array, Namespace


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
    tails = [tail_of(counts[:, sign, :], xp=xp) for sign in range(2)]
    sides = zip(tails, (below, above), strict=True)
    parts = [mass_and_square_beyond(tail, reach, xp=xp) for tail, reach in sides]
    beyond, lost = (sum(part) for part in zip(*parts, strict=True))
    if isinstance(fmt, FloatFormat):
        every = symmetric_error(counts, above * (1 / fmt.max), fmt, xp=xp)
        rounded = every - lost
    else:
        codes = fmt.qmax if spec.symmetric else fmt.qmax - fmt.qmin
        step = (above if spec.symmetric else below + above) * (1 / codes)
        held = sum(tail.mass[:, :1] for tail in tails) - beyond
        rounded = step * step * (1 / 12) * held
    return lost - lost[:, -1:] <= rounded
