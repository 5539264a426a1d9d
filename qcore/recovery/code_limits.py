"""Limits of the codes that weights may get."""

from qcore.arithmetic import broadcast, dtype_name
from qcore.formats import Format, IntFormat
from qcore.libraries import check_library, is_concrete
from qcore.typing import Array, Namespace


def lowest_and_highest(
    limits: tuple[Array, Array], weights: Array, fmt: Format, /, *, xp: Namespace
) -> tuple[Array, Array]:
    """
    Return the codes of a format within limits, float64 of the shape of the weights.

    Raises
    ------
    TypeError
        If the limits are not two arrays of integers of the weights' library.
    ValueError
        If their shapes do not fit, they leave a weight no code, or the format is one of
        floats.
    """
    if not isinstance(fmt, IntFormat):
        raise ValueError(f"`limits` must be None for {fmt.name}.")
    if not isinstance(limits, tuple) or len(limits) != 2:
        raise TypeError("`limits` must be a tuple of two arrays.")
    wide = []
    for codes in limits:
        check_library(codes, xp, "`limits`")
        if not xp.isdtype(codes.dtype, "integral"):
            name = dtype_name(codes.dtype)
            raise TypeError(f"`limits` must be integers; got {name}.")
        whole = broadcast(xp.astype(codes, xp.float64), weights, "limits", xp=xp)
        wide.append(whole)
    lowest, highest = (xp.clip(x, fmt.qmin, fmt.qmax) for x in wide)
    none = xp.logical_or(wide[0] > highest, lowest > wide[1])
    if is_concrete(none, xp) and bool(xp.any(none)):
        raise ValueError(
            f"`limits` must leave each weight a code of {fmt.name}; the lowest is "
            "above the highest for some."
        )
    return lowest, highest
