"""Time the quantized models in ONNX Runtime: the float one, the peer's and ours.

All contenders of a model are sessions of one process and take turns, so that what else
the machine does meets them alike. Whether 8 bits pay depends on the CPU: its flags are
kept with the results. Arguments, if any, are the models to run.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnxruntime
from bench_models import MODELS, in_a_process, original_file
from public_models import CALIBRATION, FOLDER, Feed, PublicModel
from record import record

CONTENDERS = (
    ("onnxruntime", "MinMax"),
    ("onnxruntime", "MinMax+int8"),
    ("onnxruntime", "MinMax+optimized"),
    ("qcore", "minmax+recover"),
    ("qcore", "minmax+int8+recover"),
)
"""Ranges cost a session nothing: the quickest method will do. Recovery, the default,
decides whether the last Conv computes in 8 bits. See `bench_models`."""
FEEDS = 8
ROUNDS = 25
TURN = 0.05
"""Seconds of runs between changes of contender, at least one run."""
Run = Callable[[], object]


def main() -> None:
    """Time all contenders of all models that are there, with one thread and two."""
    chosen = [MODELS[name] for name in sys.argv[1:] or MODELS]
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for model in chosen:
            original = original_file(model, Path(folder))
            if original is None:
                print(f"{model.name}: no model below {FOLDER}, left out.")
                continue
            files = {("float", ""): original} | _quantized(model, original, folder)
            for threads in (1, 2):
                rows += _timed(model, files, threads)
    record("latency", rows)


def _quantized(
    model: PublicModel, original: Path, folder: str
) -> dict[tuple[str, str], Path]:
    files = {}
    for tool, method in CONTENDERS:
        target = Path(folder) / f"{model.name}.{tool}.{method}.onnx"
        found = in_a_process([tool, model.name, method, str(original), str(target)])
        if "failed" in found:
            print(f"{model.name}, {tool} {method}: {found['failed']}")
        else:
            files[tool, method] = target
    return files


def _timed(
    model: PublicModel, files: dict[tuple[str, str], Path], threads: int
) -> list[dict[str, Any]]:
    """Return milliseconds for a sample, the median of all rounds."""
    feeds = list(model.feeds(CALIBRATION, CALIBRATION + FEEDS))
    runs = {who: _runner(path, feeds, threads) for who, path in files.items()}
    for run in runs.values():
        run()
    seconds: dict[tuple[str, str], list[float]] = {who: [] for who in runs}
    for _ in range(ROUNDS):
        for who, run in runs.items():
            seconds[who].append(_turn(run) / FEEDS)
    medians = {who: statistics.median(found) for who, found in seconds.items()}
    peer = min(s for (tool, _), s in medians.items() if tool == "onnxruntime")
    return [
        {
            "model": model.name,
            "threads": threads,
            "tool": tool,
            "method": method,
            "ms": 1000 * median,
            "best_ms": 1000 * min(seconds[tool, method]),
            "of_float": median / medians["float", ""],
            "of_peers_best": median / peer,
        }
        for (tool, method), median in medians.items()
    ]


def _turn(run: Run) -> float:
    """Return the seconds of a run over all samples, the mean of as many as fit."""
    start = time.perf_counter()
    count = 0
    while count == 0 or time.perf_counter() - start < TURN:
        run()
        count += 1
    return (time.perf_counter() - start) / count


def _runner(path: Path, feeds: list[Feed], threads: int) -> Run:
    """Return what runs all samples in a session as users make it."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        str(path), options, providers=["CPUExecutionProvider"]
    )
    return lambda: [session.run(None, feed) for feed in feeds]


if __name__ == "__main__":
    main()
