"""Comparisons of the public models have the figures that numpy computes."""

import numpy as np
import onnxruntime
import pytest

from qcore.adapters.onnx import compare, quantize, save

pytestmark = [pytest.mark.models, pytest.mark.slow]


@pytest.fixture
def public():
    return pytest.importorskip("public_models")


@pytest.fixture
def quantized(public, tmp_path):
    """A function that quantizes a public model by a few samples."""

    def quantized(name):
        model = getattr(public, name)
        if not (public.FOLDER / model.name).is_dir():
            pytest.skip(f"QCORE_MODELS must name a folder with {model.name}")
        path = tmp_path / "quantized.onnx"
        save(
            quantize(model.path, list(model.feeds(0, 8)), op_types=model.op_types), path
        )
        return model, path

    return quantized


def answers(path, feeds, *, merge):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if not merge:
        level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.graph_optimization_level = level
    session = onnxruntime.InferenceSession(str(path), options)
    return np.concatenate([session.run(None, feed)[0] for feed in feeds], dtype=float)


@pytest.mark.parametrize("deployed", [False, True])
@pytest.mark.parametrize(("name", "last"), [("MNIST", 178), ("MOBILENET", 130)])
def test_the_outputs_figures_are_what_numpy_computes(quantized, name, last, deployed):
    model, path = quantized(name)
    feeds = list(model.feeds(128, last))
    (output,) = compare(model.path, path, feeds, deployed=deployed).outputs
    wanted = answers(model.path, feeds, merge=False)
    got = answers(path, feeds, merge=deployed)
    ratio = np.sum(wanted**2) / np.sum((wanted - got) ** 2)
    norms = np.linalg.norm(wanted) * np.linalg.norm(got)
    assert output.sqnr == pytest.approx(10 * np.log10(ratio), rel=1e-6)
    assert output.cosine == pytest.approx(np.sum(wanted * got) / norms, rel=1e-9)
    assert output.sqnr > 15


def test_what_loses_most_of_mobilenet_is_told_first(quantized):
    model, path = quantized("MOBILENET")
    found = compare(model.path, path, model.feeds(128, 130))
    assert not found.unmatched
    assert len(found.tensors) > 50
    assert found.tensors[0].sqnr == min(tensor.sqnr for tensor in found.tensors)
