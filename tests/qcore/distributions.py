"""Samples of the kinds of distributions that tensors have."""

import numpy as np

KINDS = ["gaussian", "laplace", "relu", "outlier", "sparse", "negative"]


def samples(kind: str, n: int = 3000) -> np.ndarray:
    """Return about `n` float32 samples, the same every time."""
    rng = np.random.default_rng(len(kind))
    values = {
        "gaussian": rng.normal(size=n),
        "laplace": rng.laplace(size=n) + 0.3,
        "relu": np.maximum(rng.normal(size=n), 0),
        "outlier": np.append(rng.uniform(-1, 1, n), [9.0, -7.0]),
        "sparse": rng.choice([-5.0, -1, -0.9, 0.2, 0.3, 2.5, 2.6, 7.9], n // 10),
        "negative": -rng.gamma(2, size=n),
    }
    return values[kind].astype(np.float32)
