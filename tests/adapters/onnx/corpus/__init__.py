"""Small models, each with a quirk that files of the wild have."""

import numpy as np
import onnx

from tests.adapters.onnx.corpus import (
    between,
    constants,
    convolutions,
    graphs,
    matrices,
)
from tests.adapters.onnx.corpus.case import Case

CASES: dict[str, Case] = {
    name: case
    for part in (convolutions, matrices, between, constants, graphs)
    for name, case in part.CASES.items()
}


def model_of(name: str) -> onnx.ModelProto:
    """Return the model of a case."""
    return CASES[name].model(name)


def samples_of(name: str, count: int = 8) -> list[dict[str, np.ndarray]]:
    """Return samples for it."""
    return CASES[name].samples(name, count)
