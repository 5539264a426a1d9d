"""Transposed convolutions as the convolutions that they are."""

from qcore.typing import Array, Namespace


def mirrored(weight: Array, groups: int, /, *, xp: Namespace) -> Array:
    """
    Return the weight of a transposed convolution as that of a convolution, or back.

    The one has the inputs of all groups and the outputs of one, the other the reverse,
    and the kernel of the one is that of the other from the far end; so done twice, this
    changes nothing. See `Window` on stride and padding.

    Parameters
    ----------
    weight : array
        ``[groups * a, b, *kernel]``, or what belongs to it, element by element.
    groups : int
        How many parts the channels are cut into.
    xp : namespace
        That of the array.

    Returns
    -------
    array
        ``[groups * b, a, *kernel]``.
    """
    whole, part, *kernel = weight.shape
    split = xp.reshape(weight, (groups, whole // groups, part, *kernel))
    swapped = xp.moveaxis(split, 2, 1)
    joined = xp.reshape(swapped, (groups * part, whole // groups, *kernel))
    return xp.flip(joined, axis=tuple(range(2, joined.ndim)))
