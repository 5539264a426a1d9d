"""Quantize the network with every method, from the same statistics, and score it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np

import qcore
from qcore.adapters import onnx
from qcore.adapters.demo.digits import Digits, model_file
from qcore.adapters.demo.onnxruntime import run
from qcore.methods.registry import find_method
from qcore.similarity import Similarity
from qcore.statistics import Histogram, Statistics

BATCH = 32  # any number gives the same statistics


@dataclass(frozen=True)
class Row:
    """How one model did.

    Attributes
    ----------
    method : str
        Of the int8 model, or ``"float"``.
    accuracy, agreement : float
        Share of digits told right, and of those told as the float model does.
    sqnr : float or None
        Of the logits, in dB; the float model has none.
    size : int
        Of the file, in bytes.
    seconds : float or None
        From the statistics to the int8 model.
    """

    method: str
    accuracy: float
    agreement: float
    sqnr: float | None
    size: int
    seconds: float | None


def collect(digits: Digits) -> tuple[dict[str, Statistics], float]:
    """Return the statistics of the network's activations, and the seconds it took."""
    start = perf_counter()
    batches = np.split(digits.calibration, range(BATCH, len(digits.calibration), BATCH))
    with model_file() as path:
        statistics = onnx.calibrate(path, [{"image": batch} for batch in batches])
    return statistics, perf_counter() - start


def compare(
    digits: Digits, statistics: Mapping[str, Statistics], folder: Path
) -> Iterator[Row]:
    """Yield a row for the float model, then one for each int8 model it writes."""
    with model_file() as path:
        wanted = run(path, digits.images)
        answers = wanted.argmax(axis=1)
        accuracy = _share(answers, digits.labels)
        yield Row("float", accuracy, 1.0, None, path.stat().st_size, None)
        for method in histogram_methods():
            start = perf_counter()
            quantized = onnx.quantize(path, statistics, method=method)
            seconds = perf_counter() - start
            target = folder / f"digits.{method}.onnx"
            onnx.save(quantized, target)
            logits = run(target, digits.images)
            told = logits.argmax(axis=1)
            yield Row(
                method=method,
                accuracy=_share(told, digits.labels),
                agreement=_share(told, answers),
                sqnr=float(Similarity.of(wanted, logits).sqnr),
                size=target.stat().st_size,
                seconds=seconds,
            )


def histogram_methods() -> list[str]:
    """Return the names of the methods that decide from a histogram."""
    return [
        name
        for name in qcore.methods()
        if name != "constant"  # which does not look at what was seen
        and any(issubclass(Histogram, kind) for kind in find_method(name).needs)
    ]


def _share(told: np.ndarray, right: np.ndarray) -> float:
    return float(np.mean(told == right))
