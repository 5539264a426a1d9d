"""Whether a model computes what it did before its weights were changed."""

from collections.abc import Iterable

from qcore.arithmetic import TINY
from qcore.errors import QuantError
from qcore.libraries import arithmetic
from qcore.reduce import reduce_amax
from qcore.typing import Array, Namespace


def digits_lost(
    before: Array, after: Array, /, epsilon: float, *, xp: Namespace
) -> Array:
    """
    Return how far two outputs are apart: float64, 0-d, 1 being half of their digits.

    That is what rounding in another place may cost a deep network.

    Parameters
    ----------
    before, after : array
        Floating-point, of equal shape. What was not finite before may be anything.
    epsilon : float
        Of the dtype that the outputs were computed in.
    """
    with arithmetic(xp):
        number = xp.isfinite(before)
        a, b = (
            xp.astype(xp.where(number, x, xp.zeros_like(x)), xp.float64)
            for x in (before, after)
        )
        change, largest = (reduce_amax(x, keepdims=False, xp=xp) for x in (a - b, a))
        return change / xp.maximum(largest, xp.full_like(largest, TINY)) / epsilon**0.5


def check_none_lost(name: str, lost: Iterable[float], /) -> None:
    """
    Refuse what moved factors have changed.

    Parameters
    ----------
    name : str
        The argument that is the model.
    lost : iterable of float
        `digits_lost` of each output.

    Raises
    ------
    QuantError
        If one lost half of its digits.
    """
    if not all(one <= 1 for one in lost):
        raise QuantError(
            f"`{name}` must compute the same as before, but loses half of its digits. "
            "Makers must be all that scales the input of their readers, and readers "
            "all that reads it."
        )
