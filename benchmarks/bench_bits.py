"""Weights of 4 bits to the nearest and recovered, and layers of 16 bits by a budget.

Activations are floats where weights have 4 bits, which is how such models are used:
what is lost is the weights' alone. Arguments, if any, are the models to run.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

import onnx
from bench_models import MODELS, WEIGHTS, original_file
from onnx.numpy_helper import to_array
from public_models import CALIBRATION, FOLDER, MINILM, MOBILENET, PublicModel
from record import record

from qcore.adapters import onnx as adapter

BLOCKS = (None, 32)
"""Weights that share a scale: those of a channel, or so many of them."""
BUDGETS = (8.0, 8.25, 8.5, 9.0)
"""Bits of a weight on the average."""


def main() -> None:
    """Measure both on MobileNet, and 4 bits on MiniLM."""
    chosen = [MODELS[name] for name in sys.argv[1:]] or [MOBILENET, MINILM]
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for model in chosen:
            original = original_file(model, Path(folder))
            if original is None:
                print(f"{model.name}: no model below {FOLDER}, left out.")
                continue
            target = Path(folder) / "quantized.onnx"
            rows += _four_bits(model, original, target)
            if model is MOBILENET:
                rows += _budgets(model, original, target)
    record("bits", rows)


def _four_bits(
    model: PublicModel, original: Path, target: Path
) -> list[dict[str, Any]]:
    feeds = list(model.feeds(0, CALIBRATION))
    include = [WEIGHTS] if model is MINILM else _pointwise(original)
    rows = []
    for block in BLOCKS:
        for level in ("none", "gptq", "full"):
            quantized = adapter.quantize(
                str(original),
                feeds,
                activation="float",
                weight="int4",
                block=block,
                include=include,
                recover=level,
            )
            adapter.save(quantized, target)
            shared = "channel" if block is None else f"block of {block}"
            what = {"model": model.name, "weights": f"int4, {shared}", "recover": level}
            rows.append(what | model.score(target, original))
            print(rows[-1], flush=True)
    return rows


def _pointwise(original: Path) -> list[str]:
    """Return the names of the convolutions that see one place."""
    graph = onnx.load(original).graph
    shapes = {t.name: to_array(t).shape for t in graph.initializer}
    return [
        node.name
        for node in graph.node
        if node.op_type == "Conv" and set(shapes[node.input[1]][2:]) == {1}
    ]


def _budgets(model: PublicModel, original: Path, target: Path) -> list[dict[str, Any]]:
    feeds = list(model.feeds(0, CALIBRATION))
    statistics = adapter.calibrate(str(original), feeds)
    rows = []
    for budget in BUDGETS:
        own = adapter.spend_bits(str(original), statistics, feeds, budget)
        quantized = adapter.quantize(
            str(original), statistics, data=feeds, overrides=own
        )
        adapter.save(quantized, target)
        what = {"model": model.name, "weights": f"{budget} bits", "recover": "full"}
        rows.append(what | model.score(target, original))
        print(rows[-1], flush=True)
    return rows


if __name__ == "__main__":
    main()
