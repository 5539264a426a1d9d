"""The shipped data: 8 x 8 handwritten digits, and the network that tells them apart.

``benchmarks/train_digits_torch.py`` made both; the network has seen the digits to
calibrate with, and none of those to score.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Digits:
    """Images are float32 ``[n, 1, 8, 8]``, raw pixels from 0 to 16.

    Attributes
    ----------
    calibration : array
        128 of the training images.
    images : array
        500 that were never trained on.
    labels : array
        The digits on those, ``[500]``.
    """

    calibration: np.ndarray
    images: np.ndarray
    labels: np.ndarray


def load_digits() -> Digits:
    """Return the digits."""
    with _shipped("digits.npz") as path, np.load(path) as arrays:
        return Digits(
            calibration=arrays["calibration"].astype(np.float32),
            images=arrays["images"].astype(np.float32),
            labels=arrays["labels"],
        )


@contextmanager
def model_file() -> Iterator[Path]:
    """Give the path of the float model."""
    with _shipped("digits.onnx") as path:
        yield path


@contextmanager
def _shipped(name: str) -> Iterator[Path]:
    # The package itself may lie in a zip file.
    with as_file(files("qcore.adapters.demo") / name) as path:
        yield path
