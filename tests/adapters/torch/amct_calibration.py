"""Data for AMCT's calibration operator, and what it records of them."""

from pathlib import Path

import numpy as np
import torch

from qcore.adapters.records import amct


def skewed(seed: int, *shape: int) -> torch.Tensor:
    """Return data with a long upper tail and a short lower one."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(shape, generator=generator)
    return torch.where(x > 0, x * x, 0.3 * x)


def factors(path: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    recorded = amct.read(path)[name].kv_cache_value
    return np.float32(recorded.scale), np.int64(recorded.offset)
