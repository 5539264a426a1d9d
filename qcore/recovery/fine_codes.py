"""Codes for the inputs of a layer that have none."""

from collections.abc import Iterable
from functools import reduce

from qcore.qparams import qparams_from_amax
from qcore.reduce import reduce_amax
from qcore.spec import QParams, QuantSpec
from qcore.typing import Array, Namespace

FINE = QuantSpec("int16")
"""Fine enough for floats, and integers: products of such can be added up exactly.

So a `Gram` depends on no order, and 2**31 inputs of such codes fit it.
"""


def fine_qparams(arrays: Iterable[Array], /, *, xp: Namespace) -> QParams:
    """
    Return the one scale of the fine codes of several arrays.

    Parameters
    ----------
    arrays : iterable of array
        Floating-point, of any shapes; at least one.
    """
    largest = (reduce_amax(x, keepdims=False, xp=xp) for x in arrays)
    return qparams_from_amax(reduce(xp.maximum, largest), FINE, xp=xp)
