"""What a deployed layer makes of a tensor, in NumPy."""

import numpy as np
import torch


def fake(x, kept=None):
    """The formula of deployment: int8, divided by a scale, half to even."""
    x = x.detach().numpy()
    others = tuple(i for i in range(x.ndim) if i != kept)
    scale = np.abs(x).max(others, keepdims=True) / np.float32(127)
    return torch.from_numpy(np.rint(x / scale) * scale)
