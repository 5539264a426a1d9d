"""The public MobileNet, exported: its codes and decisions in ONNX Runtime."""

from importlib import import_module
from types import SimpleNamespace

import jax
import numpy as np
import onnx
import pytest

import qcore
from qcore.adapters.jax import Config, calibrate, collect, export_onnx
from tests.adapters.jax.onnx_runs import as_numpy, codes, operands, run

pytestmark = [pytest.mark.models, pytest.mark.slow]

RULES = {
    "weight": {"axis": "output"},
    "activation": {"symmetric": False, "method": "minmax", "statistics": "range"},
}


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    models = pytest.importorskip("public_models")  # needs Pillow
    if not models.MOBILENET.path.exists():
        pytest.skip("QCORE_MODELS must name a folder with mobilenet_v1_075")
    module = import_module("mobilenet_jax")
    f, params = module.mobilenet, module.read_params(str(models.MOBILENET.path))
    pictures = [feed["image"] for feed in models.MOBILENET.feeds(0, 8)]
    seen, shown = np.concatenate(pictures[:4]), np.concatenate(pictures[4:])
    config = Config(RULES)
    _, statistics = jax.jit(collect(f, config))(None, params, seen)
    qparams = calibrate(f, config, statistics)(params, seen)
    path = tmp_path_factory.mktemp("exported") / "mobilenet.onnx"
    export_onnx(f, qparams, (params, shown), path, config)
    model = onnx.load(path)
    expected, out = operands(f, config, qparams, params, shown)
    return SimpleNamespace(
        path=path,
        size=sum(x.nbytes for x in params.values()),
        qparams=qparams,
        codes=codes(model, shown),
        expected={site: qcore.quantize(*pair) for site, pair in expected.items()},
        logits=run(model, shown)[0],
        wanted=np.asarray(out),
    )


def test_every_code_is_that_of_the_operand(exported):
    assert len(exported.codes) == 28
    for site, (operand, got) in exported.codes.items():
        wanted = qcore.quantize(operand, as_numpy(exported.qparams[site]))
        np.testing.assert_array_equal(got, wanted)


def test_codes_are_those_of_jax(exported):
    # Sums in another order move a code now and then, which layers after it spread.
    differ = [
        (got != np.asarray(exported.expected[site])).mean()
        for site, (_, got) in exported.codes.items()
    ]
    assert differ[0] == 0
    assert differ[1] < 1e-5
    assert differ[2] < 1e-4


def test_decisions_are_those_of_jax(exported):
    found, wanted = exported.logits, exported.wanted
    assert np.square(found - wanted).sum() < 1e-3 * np.square(wanted).sum()
    np.testing.assert_array_equal(found.argmax(1), wanted.argmax(1))


def test_the_file_is_a_quarter_of_the_weights(exported):
    assert exported.path.stat().st_size < 0.27 * exported.size
