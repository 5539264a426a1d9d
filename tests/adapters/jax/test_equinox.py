"""A module of equinox: its arrays are the weights, the rest is closed over."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qcore.adapters.jax import calibrate, collect, fake_quant, sites
from tests.adapters.jax.by_hand import RULES, rounded_activation, rounded_weight

X = np.random.default_rng(0).normal(size=(4, 1, 6, 6)).astype(np.float32)
TARGET = np.eye(4, 3, dtype=np.float32)


class Network(eqx.Module):
    convolution: eqx.nn.Conv2d
    linear: eqx.nn.Linear
    activation: object

    def __init__(self, key):
        first, second = jax.random.split(key)
        self.convolution = eqx.nn.Conv2d(1, 4, 3, key=first)
        self.linear = eqx.nn.Linear(64, 3, key=second)
        self.activation = jax.nn.relu

    def __call__(self, x):
        with jax.named_scope("stem"):
            x = self.activation(self.convolution(x))
        return self.linear(x.reshape(-1))


@pytest.fixture(scope="module")
def network():
    return Network(jax.random.key(0))


def as_function(network):
    """Return a function of arrays and a batch, and the arrays."""
    arrays, static = eqx.partition(network, eqx.is_inexact_array)
    return lambda arrays, x: jax.vmap(eqx.combine(arrays, static))(x), arrays


def test_sites_are_named_by_scopes(network):
    f, arrays = as_function(network)
    found = sites(f)(arrays, X)
    assert ["stem" in site.name for site in found] == [True, True, False, False]
    # A vector's product with a matrix has the matrix first.
    assert [site.is_weight for site in found] == [False, True, True, False]


def test_it_computes_on_rounded_operands(network):
    f, arrays = as_function(network)
    _, statistics = eqx.filter_jit(collect(f, RULES))(None, arrays, X)
    qparams = calibrate(f, RULES, statistics)(arrays, X)
    found = eqx.filter_jit(fake_quant(f, RULES, qparams))(arrays, X)

    def hidden(x, weight):
        out = jax.lax.conv(jnp.asarray(x), jnp.asarray(weight), (1, 1), "VALID")
        return np.maximum(out + network.convolution.bias, 0).reshape(len(x), -1)

    kernel = network.convolution.weight
    seen = hidden(X, kernel)
    x = hidden(rounded_activation(X, X), rounded_weight(kernel, 0))
    x = rounded_activation(x, seen) @ rounded_weight(network.linear.weight, 0).T
    np.testing.assert_allclose(found, x + network.linear.bias, rtol=1e-4, atol=1e-5)


def test_a_function_that_equinox_compiled_is_looked_into(network):
    f, arrays = as_function(network)
    compiled = eqx.filter_jit(f)
    _, statistics = collect(compiled, RULES)(None, arrays, X)
    assert len(statistics) == 2
    qparams = calibrate(compiled, RULES, statistics)(arrays, X)
    found = fake_quant(compiled, RULES, qparams)(arrays, X)
    expected = fake_quant(f, RULES, qparams)(arrays, X)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_step_of_training_lowers_the_loss(network):
    f, arrays = as_function(network)
    _, statistics = collect(f, RULES)(None, arrays, X)
    quantized = fake_quant(f, RULES, calibrate(f, RULES, statistics)(arrays, X))

    @eqx.filter_value_and_grad
    def loss(arrays):
        return jnp.square(quantized(arrays, X) - TARGET).mean()

    before, gradient = loss(arrays)
    after, _ = loss(
        eqx.apply_updates(arrays, jax.tree.map(lambda g: -0.1 * g, gradient))
    )
    assert after < before
