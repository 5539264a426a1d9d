"""A real network as a JAX function keeps its decisions on codes of 8 bits."""

from importlib import import_module

import jax
import numpy as np
import pytest

from qcore.adapters.jax import calibrate, collect, fake_quant, recover, sites

pytestmark = [pytest.mark.models, pytest.mark.slow]


@pytest.fixture(scope="module")
def models():
    found = pytest.importorskip("public_models")  # needs Pillow
    if not found.MOBILENET.path.exists():
        pytest.skip("QCORE_MODELS must name a folder with mobilenet_v1_075")
    return found


@pytest.fixture(scope="module")
def scored(models):
    """217 pictures, in batches of one shape, and what ONNX Runtime says of them."""
    pictures = batches(models, 64, 281, 31)
    session = models.session(models.MOBILENET.path)
    logits = [session.run(None, {"image": x})[0] for x in pictures]
    return pictures, np.concatenate(logits)


@pytest.fixture(scope="module")
def network(models):
    module = import_module("mobilenet_jax")
    return module.mobilenet, module.read_params(str(models.MOBILENET.path))


def batches(models, first, last, size):
    pictures = [feed["image"] for feed in models.MOBILENET.feeds(first, last)]
    return [
        np.concatenate(pictures[i : i + size]) for i in range(0, last - first, size)
    ]


def test_the_function_computes_what_the_onnx_model_computes(network, scored):
    f, params = network
    pictures, logits = scored
    found = jax.jit(f)(params, pictures[0])
    np.testing.assert_allclose(found, logits[:31], atol=1e-3)


def test_its_sites_are_named_by_the_initializers(network, scored):
    f, params = network
    found = sites(f)(params, scored[0][0])
    layers = {name.rpartition(".")[0] for name in params}
    assert {site.name.partition("/")[0] for site in found} == layers
    assert [site.is_weight for site in found] == 28 * [False, True]


@pytest.fixture(scope="module")
def qparams(models, network):
    f, params = network
    collecting, statistics = collect(f), None
    for batch in batches(models, 0, 64, 16):
        _, statistics = collecting(statistics, params, batch)
    return calibrate(f, None, statistics)(params, batch)


def test_mobilenet_agrees_with_float(models, network, scored, qparams):
    f, params = network
    pictures, logits = scored
    quantized = jax.jit(fake_quant(f, None, qparams))
    found = np.concatenate([quantized(params, batch) for batch in pictures])
    assert (found.argmax(1) == logits.argmax(1)).mean() >= 0.93
    assert models.sqnr(logits, found) >= 18


def test_with_its_weights_recovered_mobilenet_is_as_good_as_with_float_ones(
    models, network, scored, qparams
):
    f, params = network
    pictures, logits = scored
    found = recover(f, None, qparams)(params, batches(models, 0, 16, 8))
    assert found.left == {}
    quantized = jax.jit(fake_quant(f, None, found.qparams))
    results = np.concatenate([quantized(found.params, x) for x in pictures[:3]])
    # 93 of the pictures: noise of the mean is far below what is asked.
    assert models.sqnr(logits[: len(results)], results) >= 24
