"""A public CNN for digits as a JAX function loses nothing on codes of 8 bits."""

from importlib import import_module

import jax
import numpy as np
import pytest

from qcore.adapters.jax import calibrate, collect, fake_quant

pytestmark = [pytest.mark.models, pytest.mark.slow]

CALIBRATION = 128


def test_the_mnist_network_keeps_its_accuracy():
    models = pytest.importorskip("public_models")  # needs Pillow
    if not models.MNIST.path.exists():
        pytest.skip("QCORE_MODELS must name a folder with mnist_cnn")
    module = import_module("mnist_jax")
    f, params = module.mnist, module.read_params(str(models.MNIST.path))
    data = np.load(models.FOLDER / "mnist_cnn" / "digits.npz")
    images = data["images"][:, None].astype(np.float32)
    calibration, scored = np.split(images, [CALIBRATION])
    labels = data["labels"][CALIBRATION:]
    run = models.session(models.MNIST.path).run
    expected = np.concatenate([run(None, {"Input3": x[None]})[0] for x in scored])

    np.testing.assert_allclose(jax.jit(f)(params, scored), expected, atol=0.02)
    _, statistics = collect(f)(None, params, calibration)
    qparams = calibrate(f, None, statistics)(params, calibration)
    found = np.asarray(jax.jit(fake_quant(f, None, qparams))(params, scored))
    accuracy, before = ((x.argmax(1) == labels).mean() for x in (found, expected))
    assert accuracy >= before - 0.001
    assert models.sqnr(expected, found) >= 40
