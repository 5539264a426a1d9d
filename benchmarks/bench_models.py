"""Quantize the public models with qcore and with onnxruntime.quantization.

Each run is a process of its own, so that time and peak memory are its own. The peer's
histogram methods take samples of one shape only, so its MiniLM sentences are padded.
Arguments, if any, are the models to run.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from memory import peak_mb
from minilm_onnx import build, installed_weights
from public_models import (
    CALIBRATION,
    FOLDER,
    MINILM,
    MNIST,
    MOBILENET,
    SUPER_RESOLUTION,
    Feed,
    PublicModel,
)
from record import record

MODELS = {m.name: m for m in (MOBILENET, MNIST, SUPER_RESOLUTION, MINILM)}
METHODS = {
    "qcore": ("minmax", "percentile", "entropy", "mse", "mse+int8", "mse+recover"),
    "onnxruntime": ("MinMax", "Percentile", "Entropy"),
}
TRANSFORMER = ("mse+smooth", "mse+smooth+recover", "mse+weights+smooth+recover")
"""What is done beside the choice of ranges: see `_qcore`."""
WEIGHTS = "*.matmul"
"""MiniLM's products by weights, and not of activations by each other."""
PADDED = 40
"""Tokens; the longest of the calibration sentences has 38."""


def main() -> None:
    """Run all pairs of tool and method on all models that are there."""
    chosen = [MODELS[name] for name in sys.argv[1:] or MODELS]
    with tempfile.TemporaryDirectory() as folder:
        for model in chosen:
            original = original_file(model, Path(folder))
            if original is None:
                print(f"{model.name}: no model below {FOLDER}, left out.")
                continue
            rows = [
                _measured(model, tool, method, original, Path(folder))
                for tool, methods in METHODS.items()
                for method in (*methods, *_more(model, tool))
            ]
            record(f"models_{model.name}", rows)


def _more(model: PublicModel, tool: str) -> tuple[str, ...]:
    return TRANSFORMER if (tool, model) == ("qcore", MINILM) else ()


def _measured(
    model: PublicModel, tool: str, method: str, original: Path, folder: Path
) -> dict[str, float | str]:
    """Return what it takes a tool to quantize a model, and how good the result is."""
    target = folder / f"{model.name}.{tool}.{method}.onnx"
    found = in_a_process([tool, model.name, method, str(original), str(target)])
    if "failed" not in found:
        found |= model.score(target, original)
    return {"tool": tool, "method": method} | found


def original_file(model: PublicModel, folder: Path) -> Path | None:
    """Return the float model's file, if all that it needs is there."""
    if model is not MINILM:
        return model.path if model.path.exists() else None
    weights = installed_weights()
    if weights is None or not (FOLDER / model.name).exists():
        return None
    path = folder / "minilm.onnx"
    onnx.save(build(weights), str(path))
    return path


def in_a_process(job: list[str]) -> dict[str, float | str]:
    done = subprocess.run(
        [sys.executable, __file__, *job], capture_output=True, text=True, check=False
    )
    if done.returncode:
        return {"failed": done.stderr.strip().splitlines()[-1][:60]}
    measured: dict[str, float | str] = json.loads(done.stdout.splitlines()[-1])
    return measured


def run(tool: str, name: str, method: str, original: str, target: str) -> None:
    """Do one job and print what it took."""
    model = MODELS[name]
    feeds = list(model.feeds(0, CALIBRATION))
    job = {"qcore": _qcore, "onnxruntime": _onnxruntime}[tool]
    start = time.perf_counter()
    job(model, method, original, target, feeds)
    seconds = time.perf_counter() - start
    peak = peak_mb()
    size = Path(target).stat().st_size
    print(json.dumps({"seconds": seconds, "peak_mb": round(peak), "bytes": size}))


def _qcore(
    model: PublicModel, method: str, original: str, target: str, feeds: list[Feed]
) -> None:
    from qcore.adapters import onnx as adapter  # noqa: PLC0415 - measured memory

    method, *steps = method.split("+")
    quantized = adapter.quantize(
        original,
        feeds,
        method=method,
        op_types=model.op_types,
        include=[WEIGHTS] if "weights" in steps else (),
        activation="int8" if "int8" in steps else None,
        smooth="smooth" in steps,
        recover="full" if "recover" in steps else "none",
    )
    adapter.save(quantized, target)


def _onnxruntime(
    model: PublicModel, method: str, original: str, target: str, feeds: list[Feed]
) -> None:
    from onnxruntime import quantization as peer  # noqa: PLC0415 - measured memory

    method, *steps = method.split("+")
    if model is MINILM and method != "MinMax":
        feeds = [_padded(feed) for feed in feeds]
    with tempfile.TemporaryDirectory() as folder:
        if model is MNIST:
            original = _modernized(original, folder)
        if "optimized" in steps:
            optimized = str(Path(folder) / "optimized.onnx")
            peer.quant_pre_process(original, optimized, skip_symbolic_shape=True)
            original = optimized
        peer.quantize_static(
            original,
            target,
            _Reader(feeds),
            quant_format=peer.QuantFormat.QDQ,
            per_channel=True,
            weight_type=peer.QuantType.QInt8,
            activation_type=(
                peer.QuantType.QInt8 if "int8" in steps else peer.QuantType.QUInt8
            ),
            calibrate_method=peer.CalibrationMethod[method],
            op_types_to_quantize=None if model is not MINILM else list(model.op_types),
        )


class _Reader:
    """What the peer reads samples from."""

    def __init__(self, feeds: list[Feed]) -> None:
        self.feeds = feeds
        self.rewind()

    def get_next(self) -> Feed | None:
        return next(self.left, None)

    def rewind(self) -> None:
        self.left: Iterator[Feed] = iter(self.feeds)

    def __len__(self) -> int:
        return len(self.feeds)


def _padded(feed: Feed) -> Feed:
    return {
        name: np.pad(ids, ((0, 0), (0, PADDED - ids.shape[1])))
        for name, ids in feed.items()
    }


def _modernized(original: str, folder: str) -> str:
    """Return the model as the peer can take it: opset 13, initializers no inputs."""
    model = onnx.load(original)
    held = {initializer.name for initializer in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in held]
    model.ir_version = 8
    model = onnx.version_converter.convert_version(model, 13)
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    path = str(Path(folder) / "modern.onnx")
    onnx.save(model, path)
    return path


if __name__ == "__main__":
    run(*sys.argv[1:]) if sys.argv[1:] and sys.argv[1] in METHODS else main()
