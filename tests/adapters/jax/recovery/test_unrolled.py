"""Layers that a loop scans over, each recovered on its own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qcore.adapters.jax import fake_quant, recover
from tests.adapters.jax.recovery.functions import data, errors, made


def dense_layer(x, layer):
    return jax.nn.relu(x @ layer["w"] + layer["b"])


def scanned(p, x):
    return jax.lax.scan(lambda x, layer: (dense_layer(x, layer), None), x, p)[0]


def scanned_in_pairs(p, x):
    def pair(x, layers):
        return scanned(layers, x), x

    pairs = jax.tree.map(lambda leaf: leaf.reshape(2, 2, *leaf.shape[1:]), p)
    x, before = jax.jit(lambda p, x: jax.lax.scan(pair, x, p))(pairs, x)
    return x + before.mean(0) / 8


def scanned_backwards(p, x):
    half = jnp.float32(0.5)

    def body(x, layer):
        return jax.checkpoint(dense_layer)(x, layer) + half, x.mean()

    x, means = jax.lax.scan(body, x, p, reverse=True)
    return x * means[0]


INT4 = {
    "weight": {"format": "int4", "axis": "output"},
    "activation": {"dynamic": True},
}


def stacked():
    """Parameters of four layers, and calls."""
    params = {"w": made(0, 4, 8, 8) / 2, "b": made(1, 4, 8)}
    return params, [x + made(9, 40, 8) for x in data(40, 8, calls=2)]


@pytest.mark.parametrize("f", [scanned, scanned_in_pairs, scanned_backwards])
def test_the_layers_that_a_loop_scans_over_are_recovered(f):
    params, calls = stacked()
    found = recover(f, INT4)(params, calls)
    assert found.left == {}
    before = errors(f, (params, params), None, calls, INT4)
    after = errors(f, (params, found.params), found.qparams, calls, INT4)
    assert (after**2).mean() < 0.6 * (before**2).mean()


def test_layers_of_a_loop_are_on_the_grids_that_their_values_have():
    params, calls = stacked()
    found = recover(scanned, {"weight": INT4["weight"]})(params, calls)
    for before, after in zip(params["w"], np.asarray(found.params["w"]), strict=True):
        for column, new in zip(before.T, after.T, strict=True):
            codes = new / (np.abs(new).max() / 7)
            np.testing.assert_allclose(codes, codes.round(), atol=1e-5)
            np.testing.assert_allclose(abs(new).max(), abs(column).max(), rtol=1e-6)
    quantized = fake_quant(scanned, {"weight": INT4["weight"]}, found.qparams)
    again, expected = (g(found.params, calls[0]) for g in (quantized, scanned))
    np.testing.assert_allclose(again, expected, rtol=1e-5, atol=1e-5)


def test_layers_that_flax_scans_over_are_recovered():
    nn = pytest.importorskip("flax.linen")

    class Block(nn.Module):
        @nn.compact
        def __call__(self, x, _):
            hidden = nn.relu(nn.Dense(16)(x))
            return x + nn.Dense(8)(hidden), None

    class Network(nn.Module):
        @nn.compact
        def __call__(self, x):
            over = {"variable_axes": {"params": 0}, "split_rngs": {"params": True}}
            x, _ = nn.scan(Block, length=3, **over)()(x, None)
            return nn.Dense(5)(x)

    calls, model = [made(n, 4, 10, 8) for n in range(2)], Network()
    params = model.init(jax.random.key(0), calls[0])
    found = recover(model.apply, {"weight": INT4["weight"]})(params, calls)
    assert found.left == {}
    for before, after in zip(
        *map(jax.tree.leaves, (params, found.params)), strict=True
    ):
        assert (before != after).reshape(len(before), -1).any(axis=1).all()
