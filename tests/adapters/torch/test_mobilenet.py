"""A real network in PyTorch keeps its decisions, and ONNX Runtime makes the same."""

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = [pytest.mark.models, pytest.mark.slow]


@pytest.fixture(scope="module")
def pictures() -> tuple[list[np.ndarray], ...]:
    """128 pictures for calibration, and those that are scored, in batches."""
    models = pytest.importorskip("public_models")  # needs Pillow
    if not models.MOBILENET.path.exists():
        pytest.skip("QCORE_MODELS must name a folder with mobilenet_v1_075")
    parts = (models.MOBILENET.feeds(0, 128), models.MOBILENET.feeds(128, 500))
    return tuple([feed["image"] for feed in part] for part in parts)


def filled() -> Any:
    models, networks = map(import_module, ("public_models", "mobilenet_torch"))
    return networks.filled(str(models.MOBILENET.path))


def logits(model: Any, pictures: list[np.ndarray]) -> np.ndarray:
    import torch

    with torch.no_grad():
        return np.concatenate([model(torch.from_numpy(x)) for x in pictures])


def quantized(
    pictures: Any, config: str, *, recover: bool = False
) -> tuple[Any, np.ndarray, float]:
    """Return the model, what it computes, and its SQNR in dB."""
    import torch

    from qcore.adapters.torch import quantize

    calibration, scored = pictures
    model = filled()
    expected = logits(model, scored)
    # Few are enough to recover with, and every layer goes through all of them.
    few = calibration[:16] if recover else calibration
    data = [torch.from_numpy(x) for x in few]
    assert quantize(model, config, forward_loop=data, recover=recover) is model
    found = logits(model, scored)
    assert (found.argmax(1) == expected.argmax(1)).mean() >= 0.93
    noise = 20 * np.log10(np.linalg.norm(expected) / np.linalg.norm(found - expected))
    return model, found, noise


def in_onnxruntime(model: Any, pictures: Any, folder: Path, level: str) -> np.ndarray:
    """Return what ONNX Runtime computes at a level of optimization."""
    import onnxruntime
    import torch

    from qcore.adapters.torch import export_onnx

    path = folder / "mobilenet.onnx"
    export_onnx(model, (torch.from_numpy(pictures[0]),), path)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(
        onnxruntime.GraphOptimizationLevel, level
    )
    session = onnxruntime.InferenceSession(
        path, options, providers=["CPUExecutionProvider"]
    )
    (name,) = [taken.name for taken in session.get_inputs()]
    return np.concatenate([session.run(None, {name: x})[0] for x in pictures])


def test_mobilenet_agrees_with_float_and_with_onnxruntime(
    pictures: Any, tmp_path: Path
) -> None:
    model, found, _ = quantized(pictures, "int8")
    got = in_onnxruntime(model, pictures[1], tmp_path, "ORT_DISABLE_ALL")
    # The two add up in another order, which moves codes by one, and PyTorch's own order
    # in double precision moves as many: it decides where two classes are all but equal.
    first, second = np.sort(found, 1)[:, :-3:-1].T
    is_clear = first - second > 0.5
    assert is_clear.mean() > 0.85
    is_same = got.argmax(1) == found.argmax(1)
    assert is_same[is_clear].all()
    assert is_same.mean() >= 0.98


def test_with_powers_of_two_mobilenet_has_the_bits_of_onnxruntime(
    pictures: Any, tmp_path: Path
) -> None:
    few = pictures[0], pictures[1][:100]
    model, found, noise = quantized(few, "int8_power_of_two", recover=True)
    assert noise >= 22
    for level in ("ORT_DISABLE_ALL", "ORT_ENABLE_ALL"):
        got = in_onnxruntime(model, few[1], tmp_path, level)
        np.testing.assert_array_equal(got, found, level)


def test_recovered_mobilenet_is_as_good_as_with_float_weights(pictures: Any) -> None:
    _, _, noise = quantized(pictures, "int8", recover=True)
    assert noise >= 25
