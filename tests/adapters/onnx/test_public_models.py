"""The public models keep their accuracy; 128 samples calibrate, the others score."""

import pytest

from qcore.adapters.onnx import quantize, save

pytestmark = [pytest.mark.models, pytest.mark.slow]


@pytest.fixture
def scores(tmp_path):
    """Quantize a public model as by default, and score it beside the float one."""
    public = pytest.importorskip("public_models")

    def scores(name, original=None):
        model = getattr(public, name)
        if not (public.FOLDER / model.name).is_dir():
            pytest.skip(f"QCORE_MODELS must name a folder with {model.name}")
        original, quantized = original or model.path, tmp_path / "quantized.onnx"
        feeds = model.feeds(0, public.CALIBRATION)
        save(quantize(original, feeds, op_types=model.op_types), quantized)
        return model.score(quantized, original)

    return scores


def test_mobilenet(scores):
    got = scores("MOBILENET")
    assert got["sqnr_db"] >= 16.2
    assert got["agreement"] >= 0.92


def test_mnist_of_opset_8_with_initializers_among_its_inputs(scores):
    assert scores("MNIST")["top1"] >= 0.989


def test_super_resolution(scores):
    assert scores("SUPER_RESOLUTION")["sqnr_db"] > 24.96


def test_minilm_calibrated_on_sentences_of_any_length(scores, tmp_path):
    minilm = pytest.importorskip("minilm_onnx")
    weights = minilm.installed_weights()
    if weights is None:
        pytest.skip(f"the weights are in the package {minilm.PACKAGE}; install it")
    original = tmp_path / "minilm.onnx"
    original.write_bytes(minilm.build(weights).SerializeToString())
    assert scores("MINILM", original)["spearman"] >= 0.866
