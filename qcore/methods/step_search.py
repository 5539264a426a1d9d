"""The squared errors of all the steps a search chooses among."""

from qcore.formats import Format
from qcore.kernels import Kernel
from qcore.methods.squared_error import (
    affine_error,
    best_below,
    sides_of,
    symmetric_error,
)
from qcore.typing import Array, Namespace


@Kernel
def search_symmetric(
    counts: Array,
    steps: Array,
    allowed: Array,
    fmt: Format,
    /,
    *,
    xp: Namespace,
) -> Array:
    """
    Return the squared error of each step at zero point 0.

    Parameters
    ----------
    counts : array
        int64 ``[C, 2, slots]``, negative values first.
    steps : array
        float64 ``[C, S]`` or ``[1, S]``: steps in slots.
    allowed : array
        Booleans ``[C, S]``: the steps to choose from.
    fmt : format
        What the codes stand for, times the step.

    Returns
    -------
    array
        float64 ``[C, S]``, in squared slots; infinite where not allowed. A native
        function may give infinity to any step that is not the best.
    """
    errors = symmetric_error(counts, steps, fmt, xp=xp)
    return xp.where(allowed, errors, xp.full_like(errors, float("inf")))


@Kernel
def search_affine(
    counts: Array,
    steps: Array,
    allowed: Array,
    codes: int,
    /,
    *,
    xp: Namespace,
) -> Array:
    """
    Return the squared error of each step with the best of its zero points.

    Parameters
    ----------
    counts, steps, allowed : array
        As in `search_symmetric`.
    codes : int
        Steps between the lowest and the highest code.

    Returns
    -------
    array
        As of `search_symmetric`.
    """
    sides = sides_of(counts, xp=xp)
    below = best_below(sides.line, steps, codes, xp=xp)
    errors = affine_error(sides, steps, below, codes, xp=xp)
    return xp.where(allowed, errors, xp.full_like(errors, float("inf")))
