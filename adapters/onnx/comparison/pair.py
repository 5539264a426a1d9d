"""Two tensors that are compared, sample by sample."""

from dataclasses import dataclass
from math import isnan
from typing import Any

import numpy as np

from qcore.similarity import Similarity


@dataclass(frozen=True)
class TensorComparison:
    """How close a tensor of a quantized model is to that of the float model.

    Attributes
    ----------
    name, op_type : str
        Of the tensor, and of the operator that gives it (empty for an input), in the
        float model.
    counterpart : str
        The tensor of the quantized model that it is compared with.
    sqnr : float or None
        Mean square over mean squared difference of all values of all samples, in dB;
        infinite where nothing differs. None of what is no float.
    cosine : float or None
        Of the angle between all values of both; NaN if one alone holds NaN or infinity.
    equal : float or None
        Share of elements that are equal; None of floats.
    """

    name: str
    op_type: str
    counterpart: str
    sqnr: float | None
    cosine: float | None
    equal: float | None

    @property
    def rank(self) -> float:
        """What to sort by, the worst first."""
        figure = 0.0 if self.sqnr is None else self.sqnr
        return -np.inf if isnan(figure) else figure


@dataclass
class Pair:
    """What was seen of two tensors.

    Attributes
    ----------
    name, op_type, counterpart : str
        As of `TensorComparison`.
    problem : str or None
        Why they cannot be compared, as the end of a sentence.
    """

    name: str
    op_type: str
    counterpart: str
    problem: str | None = None
    similarity: Similarity | None = None
    equal: int = 0
    elements: int = 0

    def add(self, wanted: Any, got: Any, place: str) -> None:
        """Take in what both are in a sample; `place` tells which."""
        self.problem = self.problem or _problem(wanted, got, place)
        if self.problem:
            return
        if is_float(wanted):
            found = Similarity.of(wanted, got)
            self.similarity = self.similarity + found if self.similarity else found
        else:
            self.equal += int(np.count_nonzero(wanted == got))
            self.elements += wanted.size

    def result(self) -> TensorComparison:
        """Return the figures over all samples."""
        seen = self.similarity
        return TensorComparison(
            self.name,
            self.op_type,
            self.counterpart,
            sqnr=float(seen.sqnr) if seen else None,
            cosine=float(seen.cosine) if seen else None,
            equal=None if seen else self.equal / max(self.elements, 1),
        )


def is_float(array: np.ndarray) -> bool:
    """Return whether the values are floats that numpy knows."""
    return bool(np.issubdtype(array.dtype, np.floating))


def _problem(wanted: Any, got: Any, place: str) -> str | None:
    if not (isinstance(wanted, np.ndarray) and isinstance(got, np.ndarray)):
        return "it is no tensor"
    if is_float(wanted) != is_float(got):
        return f"it is {wanted.dtype} and {got.dtype}"
    if wanted.shape != got.shape:
        return f"its shape is {wanted.shape} and {got.shape} {place}"
    return None
