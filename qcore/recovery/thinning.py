"""How few outputs of a layer tell enough of all."""

from math import ceil

MOST_OUTPUTS = 1 << 17
"""Of a channel that are looked at: some dozens for each weight of large layers."""


def spacing(shown: int, most: int, axes: int) -> int:
    """
    Return how far apart, along each axis, few enough outputs lie.

    Parameters
    ----------
    shown : int
        How many of a channel there are.
    most : int
        How many are enough.
    axes : int
        Along how many spatial axes they lie; rows of a matrix, with none, along one.
    """
    surplus: float = (shown / most) ** (1 / max(axes, 1))
    return max(ceil(surplus), 1)
