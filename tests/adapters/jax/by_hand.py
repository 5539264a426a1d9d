"""8 bits as the tests of networks expect them, in NumPy."""

import numpy as np

RULES = {
    "weight": {"format": "int8", "axis": "output", "method": "minmax"},
    "activation": {"format": "int8", "symmetric": False, "method": "minmax"},
}


def rounded_weight(weight, output_axis):
    """Return a weight on codes whose largest one, of each output, is 127."""
    weight = np.asarray(weight)
    others = tuple(axis for axis in range(weight.ndim) if axis != output_axis)
    scale = np.abs(weight).max(others, keepdims=True) / np.float32(127)
    return np.rint(weight / scale) * scale


def rounded_activation(x, seen):
    """Return values on the codes from -128 to 127 that span those seen, and zero."""
    x, seen = np.asarray(x), np.asarray(seen)
    lo, hi = np.minimum(seen.min(), 0), np.maximum(seen.max(), 0)
    scale = hi / np.float32(255) - lo / np.float32(255)
    zero_point = np.rint(-128 - lo / scale)
    codes = np.clip(np.rint(x / scale) + zero_point, -128, 127)
    return (codes - zero_point) * scale


def rounded_linear(x, seen, weight, bias):
    """Return a linear layer of rounded operands; weights are ``[in, out]``."""
    return rounded_activation(x, seen) @ rounded_weight(weight, 1) + np.asarray(bias)
