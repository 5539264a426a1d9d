"""Biases in 32-bit codes, of the scale of the products that they are added to."""

import numpy as np

from qcore.adapters.onnx.stored import Stored
from qcore.arithmetic import TINY

LEAST_SCALE = 2.0**-125
"""What products of scales must reach, so as to be normal floats."""

MOST_CODES = 2.0**30
"""Of a bias in int32, to which products of codes are added."""


def store_bias(bias: np.ndarray, scale: np.ndarray) -> Stored:
    """Return a bias in 32 bits, for which ONNX has no zero point."""
    codes = np.rint(bias / scale.astype(np.float64))
    axis = 0 if scale.ndim else None
    return Stored(codes.astype(np.int32), scale, None, axis)


def with_room(
    scale: np.ndarray,
    bias: np.ndarray | None,
    x_scale: np.ndarray,
    *,
    is_free: np.ndarray,
) -> np.ndarray:
    """
    Return scales of weights that leave a bias room in 32 bits.

    Where the weights of a channel are all but zero, its codes would exceed them.

    Parameters
    ----------
    scale : array
        ``[channels]``, or ``[]`` for all of them.
    bias : array or None
        ``[channels]``.
    x_scale : array
        That of the activations, 0-d.
    is_free : array
        Whether the weights fit any scale, as zeros do; of the shape of `scale`.
    """
    least = np.zeros(1) if bias is None else np.abs(bias) / MOST_CODES
    room = (np.maximum(least, LEAST_SCALE) / np.float64(x_scale)).astype(np.float32)
    room = room if scale.ndim else room.max()
    if bias is not None:
        # Weights of zero fit any scale, and the bias a small one best.
        is_small = is_free & (room > LEAST_SCALE / x_scale)
        scale = np.where(is_small, np.maximum(room, TINY), scale)
    enough: np.ndarray = np.maximum(scale, room)
    return enough
