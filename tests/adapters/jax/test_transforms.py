"""Functions in, functions out: nothing changes but what is quantized."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import qcore
from qcore.adapters.jax import calibrate, collect, fake_quant, sites
from tests.adapters.jax.programs import made

CHEAP = {
    "weight": {"format": "int8", "axis": "output"},
    "activation": {"symmetric": False, "method": "minmax", "bins": 16},
}


def network(params, x):
    """A scan, a checkpoint, a branch and a compiled call around matrix products."""
    with jax.named_scope("encoder"):

        def layer(carry, weight):
            with jax.named_scope("layer"):
                return jax.nn.relu(carry @ weight), None

        x, _ = jax.lax.scan(layer, x, params["layers"])
    with jax.named_scope("head"):
        x = jax.jit(jax.checkpoint(lambda x: jnp.tanh(x @ params["head"])))(x)
        return jax.lax.cond(x.sum() > -1e9, lambda x: x @ params["head"], jnp.sin, x)


COLLECTING = jax.jit(collect(network, CHEAP))
"""Compiled once for all tests."""


@pytest.fixture(scope="module")
def params():
    return {"layers": made(0, 2, 8, 8) / 3, "head": made(1, 8, 8) / 3}


@pytest.fixture(scope="module")
def x():
    return made(2, 4, 8)


@pytest.fixture(scope="module")
def statistics(params, x):
    return COLLECTING(None, params, x)[1]


@pytest.fixture(scope="module")
def quantized(params, x, statistics):
    return fake_quant(network, CHEAP, calibrate(network, CHEAP, statistics)(params, x))


def test_sites_have_the_names_of_their_scopes(params, x):
    names = [site.name for site in sites(network)(params, x) if not site.is_weight]
    assert names == [
        "encoder/layer/dot_general:0.lhs",
        "head/dot_general:0.lhs",
        "head/dot_general:1.lhs",
    ]


def test_arguments_and_closed_over_constants_are_weights(params, x):
    found = sites(network, weights=None)(params, x)
    assert not any(site.is_weight for site in found)
    closed = sites(lambda x: x @ params["head"].T, weights=None)(x)
    assert [site.is_weight for site in closed] == [False, True]


def test_statistics_are_those_of_the_operands(params, x, statistics):
    result, _ = COLLECTING(None, params, x)
    np.testing.assert_array_equal(result, jax.jit(network)(params, x))
    second = np.maximum(x @ params["layers"][0], 0)
    expected = qcore.Histogram.of(np.concatenate([x, second]), bins=16)
    found = statistics["encoder/layer/dot_general:0.lhs"]
    for name in ("counts", "k", "zeros", "min", "max"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_collecting_can_be_scanned_over_batches(params, x, statistics):
    batches = jnp.stack([2 * x, -x])

    @jax.jit
    def scanned(start, batches):
        def step(seen, batch):
            return collect(network, CHEAP)(seen, params, batch)[1], None

        return jax.lax.scan(step, start, batches)[0]

    one_by_one = statistics
    for batch in batches:
        _, one_by_one = COLLECTING(one_by_one, params, batch)
    pairs = zip(
        *map(jax.tree.leaves, (scanned(statistics, batches), one_by_one)), strict=True
    )
    for a, b in pairs:
        np.testing.assert_array_equal(a, b)


def test_a_product_is_that_of_quantized_operands(x):
    weight = made(3, 8, 5)

    def f(weight, x):
        return x @ weight

    _, statistics = collect(f)(None, weight, x)
    qparams = calibrate(f, None, statistics)(weight, x)
    found = fake_quant(f, None, qparams)(weight, x)
    rounded = [
        np.asarray(qcore.fake_quantize(operand, qparams[f"dot_general:0.{side}"]))
        for operand, side in ((x, "lhs"), (weight, "rhs"))
    ]
    np.testing.assert_allclose(found, rounded[0] @ rounded[1], rtol=1e-6, atol=1e-6)


def test_compiled_it_gives_what_it_gives_eagerly(params, x, quantized):
    eager = quantized(params, x)
    np.testing.assert_allclose(jax.jit(quantized)(params, x), eager, atol=1e-6)


def test_batches_can_be_mapped_over(params, x, quantized):
    mapped = jax.jit(jax.vmap(quantized, in_axes=(None, 0)))(params, x[:, None])
    whole = jax.jit(quantized)(params, x)
    np.testing.assert_allclose(mapped[:, 0], whole, atol=1e-6)


def test_a_pattern_that_matches_nothing_is_named(params, x):
    with pytest.raises(ValueError, match="'\\*/attn/\\*'"):
        fake_quant(network, [{"site": "*/attn/*", "skip": True}])(params, x)


def test_an_unknown_key_is_named_with_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'activation'"):
        fake_quant(network, [{"site": "*", "activations": {}}])


def test_dynamic_scales_need_no_statistics(params, x):
    rule = {"site": "*", "activation": {"format": "int8", "dynamic": True}}
    found = jax.jit(fake_quant(network, [rule]))(params, x)
    np.testing.assert_allclose(found, network(params, x), atol=0.05)
