"""Biases moved on to the next layer, so that the range between the two is smaller.

"Data-Free Quantization Through Weight Equalization and Bias Correction" (Nagel et al.,
arXiv:1906.04721, section 4.1.3). What a ReLU never cuts off passes it unchanged.
"""

from qcore.libraries import arithmetic, namespace
from qcore.recovery.channel_parts import channel_parts, wide
from qcore.typing import Array, Namespace


def absorb_bias(
    bias: Array,
    weights: Array,
    next_bias: Array,
    lowest: Array,
    /,
    axes: tuple[int, int] = (0, 1),
    *,
    groups: int = 1,
    xp: Namespace | None = None,
) -> tuple[Array, Array]:
    """
    Return biases with what a ReLU never cuts off moved on to the next layer.

    Parameters
    ----------
    bias : array
        Floating-point ``[channels]``, of the layer before the ReLU.
    weights, next_bias : array
        Floating-point, of the layer behind it: such as
        ``[outputs, channels / groups, *kernel]``, and ``[outputs]``.
    lowest : array
        Floating-point ``[channels]``: the least value seen before the ReLU.
    axes : tuple of int, optional
        Axes of the outputs and of the inputs.
    groups : int, optional
        Of the next layer.

    Returns
    -------
    tuple of array
        Both biases. The function is the same up to rounding for data that does not go
        below `lowest`, unless the next layer pads with zeros.

    Raises
    ------
    TypeError
        If one is not floating-point.
    ValueError
        If the shapes do not fit.
    """
    xp = namespace(bias, xp)
    with arithmetic(xp):
        moved = wide(lowest, "`lowest`", xp=xp)
        moved = xp.maximum(moved, xp.zeros_like(moved))
        parts = channel_parts(wide(weights, "`weights`", xp=xp), axes, groups, xp=xp)
        if (moved.shape, moved.shape) != (bias.shape, (groups * parts.shape[2],)):
            raise ValueError(
                "`bias` and `lowest` must have an entry for each input of the next "
                f"layer, {groups * parts.shape[2]}; got the shapes {tuple(bias.shape)} "
                f"and {tuple(moved.shape)}."
            )
        split = xp.reshape(moved, (groups, parts.shape[2], 1))
        added = xp.reshape(xp.matmul(xp.sum(parts, axis=3), split), (-1,))
        if added.shape != next_bias.shape:
            raise ValueError(
                f"`next_bias` must have {added.shape[0]} entries; got the shape "
                f"{tuple(next_bias.shape)}."
            )
        first = wide(bias, "`bias`", xp=xp) - moved
        second = wide(next_bias, "`next_bias`", xp=xp) + added
        return xp.astype(first, bias.dtype), xp.astype(second, next_bias.dtype)
