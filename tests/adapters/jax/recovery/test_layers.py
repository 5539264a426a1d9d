"""Layers that make up for those before them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qcore.adapters.jax import (
    dequantize,
    fake_quant,
    quantize_params,
    recover,
    weight_qparams,
)
from tests.adapters.jax.recovery.functions import (
    COARSE,
    WEIGHTS,
    calibrated,
    data,
    errors,
    made,
)


def layers(p, x):
    x = jax.nn.relu(x @ p["in"]["w"] + p["in"]["b"])
    x = jax.nn.relu(x @ p["middle"]["w"])
    return x @ p["out"]["w"] + p["out"]["b"]


@pytest.fixture(scope="module")
def params():
    return {
        "in": {"w": made(0, 8, 24), "b": made(1, 24)},
        "middle": {"w": made(2, 24, 16)},
        "out": {"w": made(3, 16, 5), "b": made(4, 5)},
    }


@pytest.fixture(scope="module")
def calls():
    return data(60, 8)


@pytest.fixture(scope="module")
def qparams(params, calls):
    return calibrated(layers, params, calls)


def test_layers_make_up_for_those_before_them(params, calls, qparams):
    before = errors(layers, (params, params), qparams, calls)
    found = recover(layers, COARSE, qparams)(params, calls)
    after = errors(layers, (params, found.params), found.qparams, calls)
    assert (after**2).mean() < 0.5 * (before**2).mean()
    np.testing.assert_allclose(after.mean(0), 0, atol=1e-4)
    assert list(found.left) == ["dot_general:1.rhs"]
    assert "no bias" in found.left["dot_general:1.rhs"]


def test_codes_stand_for_the_weights(params, calls, qparams):
    found = recover(layers, COARSE, qparams)(params, calls)
    scales = weight_qparams(layers, COARSE, found.qparams)(found.params, calls[0])
    held = dequantize(quantize_params(found.params, scales))
    for name in ("in", "middle", "out"):
        np.testing.assert_array_equal(held[name]["w"], found.params[name]["w"])


def test_weights_without_fixed_scales_get_some(params):
    rules = {**COARSE, "weight": {"format": "int4", "method": "minmax"}}
    calls = data(60, 8)
    qparams = calibrated(layers, params, calls, rules)
    assert "dot_general:0.rhs" not in qparams
    found = recover(layers, rules, qparams)(params, calls)
    largest = np.abs(params["in"]["w"]).max()
    scale = found.qparams["dot_general:0.rhs"].scale
    np.testing.assert_allclose(scale, largest / 7, rtol=1e-6)


def test_weights_alone_may_be_quantized(params):
    calls = data(60, 8)
    before = errors(layers, (params, params), None, calls, WEIGHTS)
    found = recover(layers, WEIGHTS)(params, calls)
    after = errors(layers, (params, found.params), found.qparams, calls, WEIGHTS)
    assert (after**2).mean() < 0.3 * (before**2).mean()


@pytest.mark.parametrize(
    ("weight", "activation"),
    [
        ({"format": "float4_e2m1fn", "axis": "output"}, {"format": "float8_e4m3fn"}),
        ({"format": "int4", "block_size": 4}, {"format": "int8", "dynamic": True}),
        ({"format": "uint4", "symmetric": False, "method": "mse"}, {"axis": -1}),
    ],
)
def test_formats_and_granularities_may_be_any(params, weight, activation):
    rules = {"weight": weight, "activation": activation}
    calls = data(60, 8)
    qparams = calibrated(layers, params, calls, rules)
    before = errors(layers, (params, params), qparams, calls, rules)
    found = recover(layers, rules, qparams)(params, calls)
    after = errors(layers, (params, found.params), found.qparams, calls, rules)
    assert (after**2).mean() < 0.7 * (before**2).mean()


def test_two_runs_give_the_same_and_leave_what_was_given(params, calls, qparams):
    kept = jax.tree.map(np.copy, params)
    first, second = (
        recover(layers, COARSE, qparams)(params, iter(calls)).params for _ in range(2)
    )
    jax.tree.map(np.testing.assert_array_equal, first, second)
    jax.tree.map(np.testing.assert_array_equal, kept, params)
    assert {type(leaf) for leaf in jax.tree.leaves(first)} == {np.ndarray}


def test_layers_of_flax_are_recovered():
    nn = pytest.importorskip("flax.linen")

    class Network(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = nn.relu(nn.Conv(8, (3, 3))(x))
            x = nn.relu(nn.Conv(8, (3, 3), feature_group_count=8)(x))
            return nn.Dense(5)(x.mean((1, 2)))

    calls, model = data(16, 6, 6, 3), Network()
    params = model.init(jax.random.key(0), calls[0])
    rules = {**COARSE, "activation": {"dynamic": True}}

    def loses(found, qparams=None):
        quantized = fake_quant(model.apply, rules, qparams)
        change = [quantized(found, x) - model.apply(params, x) for x in calls]
        return float((jnp.stack(change) ** 2).mean())

    found = recover(model.apply, rules)(params, calls)
    assert found.left == {}
    assert loses(found.params, found.qparams) < 0.3 * loses(params)
