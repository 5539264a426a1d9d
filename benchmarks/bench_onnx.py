"""What calibration of an ONNX model costs beside running it, in time and memory.

Passes of the float model alone and calibrations on the same samples take turns, so that
both see the same load of the machine; `ratio` is the median of the pairs' ratios. Peaks
of memory are those of processes of their own. Needs the extra `cpu`.
"""

import json
import statistics
import subprocess
import sys
import time
from itertools import count, islice

import onnxruntime
from memory import peak_mb
from public_models import (
    CALIBRATION,
    FOLDER,
    MOBILENET,
    SUPER_RESOLUTION,
    Feed,
    PublicModel,
)
from record import record

from qcore.adapters.onnx import calibrate

MODELS = {model.name: model for model in (MOBILENET, SUPER_RESOLUTION)}
TURNS = 5
FEW, MANY = 10, 1000
"""Samples whose peaks of memory are compared; pictures come again and again."""


def main() -> None:
    """Measure all models that are there."""
    rows = []
    for model in MODELS.values():
        if not model.path.exists():
            print(f"{model.name}: no model below {FOLDER}, left out.")
            continue
        peaks = {f"peak_mb_{n}": _peak(model, n) for n in (FEW, MANY)}
        rows.append({"model": model.name} | _times(model) | peaks)
    record("onnx", rows)


def _times(model: PublicModel) -> dict[str, float]:
    feeds = list(model.feeds(0, CALIBRATION))
    session = onnxruntime.InferenceSession(
        str(model.path), providers=["CPUExecutionProvider"]
    )

    def run(feeds: list[Feed]) -> None:
        for feed in feeds:
            session.run(None, feed)

    def collect(feeds: list[Feed]) -> None:
        calibrate(str(model.path), feeds)

    for job in (run, collect):  # what is compiled or allocated once
        job(feeds[:2])
    pairs = [(_seconds(run, feeds), _seconds(collect, feeds)) for _ in range(TURNS)]
    return {
        "samples": len(feeds),
        "passes_s": statistics.median(bare for bare, _ in pairs),
        "calibration_s": statistics.median(whole for _, whole in pairs),
        "ratio": statistics.median(whole / bare for bare, whole in pairs),
    }


def _seconds(job, feeds: list[Feed]) -> float:
    start = time.perf_counter()
    job(feeds)
    return time.perf_counter() - start


def _peak(model: PublicModel, samples: int) -> int:
    job = [sys.executable, __file__, model.name, str(samples)]
    done = subprocess.run(job, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def hold(name: str, samples: str) -> None:
    """Calibrate on so many samples and print the peak of memory in MB."""
    model = MODELS[name]
    feeds = (feed for _ in count() for feed in model.feeds(0, CALIBRATION))
    calibrate(str(model.path), islice(feeds, int(samples)))
    print(json.dumps(round(peak_mb())))


if __name__ == "__main__":
    hold(*sys.argv[1:]) if sys.argv[1:] else main()
