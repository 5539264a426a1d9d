"""A module of flax.nnx, whose state is a pytree once it is split from the graph."""

import jax
import numpy as np
import optax
import pytest
from flax import nnx

from qcore.adapters.jax import calibrate, collect, fake_quant, sites
from tests.adapters.jax.by_hand import RULES, rounded_linear

X = np.random.default_rng(0).normal(size=(16, 5)).astype(np.float32)
TARGET = np.sin(X[:, :3])


class Network(nnx.Module):
    def __init__(self, rngs):
        self.first = nnx.Linear(5, 8, rngs=rngs)
        self.norm = nnx.BatchNorm(8, rngs=rngs)
        self.last = nnx.Linear(8, 3, rngs=rngs)

    def __call__(self, x):
        with jax.named_scope("first"):
            x = nnx.relu(self.norm(self.first(x)))
        return self.last(x)


@pytest.fixture
def network():
    return Network(nnx.Rngs(0))


def as_function(network):
    """Return a function of parameters, statistics and inputs, and its first two."""
    graph, params, rest = nnx.split(network, nnx.Param, ...)

    def f(params, rest, x):
        merged = nnx.merge(graph, params, rest, copy=True)
        out = merged(x)
        return out, nnx.split(merged, nnx.Param, ...)[2]

    return f, params, rest


def test_sites_are_named_by_scopes_and_numbers(network):
    f, params, rest = as_function(network)
    found = {site.name: site.is_weight for site in sites(f)(params, rest, X)}
    assert found == {
        "first/dot_general:0.lhs": False,
        "first/dot_general:0.rhs": True,
        "dot_general:0.lhs": False,
        "dot_general:0.rhs": True,
    }


def test_a_module_can_be_given_as_it_is(network):
    def f(network, x):
        return network(x)

    network.eval()
    _, statistics = collect(f, RULES)(None, network, X)
    quantized = fake_quant(f, RULES, calibrate(f, RULES, statistics)(network, X))
    found = quantized(network, X)
    assert np.abs(found - network(X)).max() < 0.05
    assert np.abs(found - network(X)).max() > 0


def test_it_computes_on_rounded_operands(network):
    network.eval()
    f, params, rest = as_function(network)
    _, statistics = collect(f, RULES)(None, params, rest, X)
    qparams = calibrate(f, RULES, statistics)(params, rest, X)
    found, _ = fake_quant(f, RULES, qparams)(params, rest, X)

    first, last = network.first, network.last

    def normalized(x):
        return np.maximum(network.norm(x), 0)

    seen = normalized(first(X))
    x = normalized(rounded_linear(X, X, first.kernel[...], first.bias[...]))
    x = rounded_linear(x, seen, last.kernel[...], last.bias[...])
    np.testing.assert_allclose(found, x, rtol=1e-4, atol=1e-5)


def test_state_that_the_module_changes_leaves_as_it_would(network):
    f, params, rest = as_function(network)
    _, expected = f(params, rest, X)
    (_, found), _ = collect(f, RULES)(None, params, rest, X)
    for a, b in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
        np.testing.assert_array_equal(a, b)


def test_training_lowers_the_loss(network):
    f, params, rest = as_function(network)
    _, statistics = collect(f, RULES)(None, params, rest, X)
    qparams = calibrate(f, RULES, statistics)(params, rest, X)
    quantized = fake_quant(f, RULES, qparams)
    optimizer = optax.adam(0.01)

    @jax.jit
    def step(params, rest, state):
        def loss(params):
            out, changed = quantized(params, rest, X)
            return optax.l2_loss(out, TARGET).mean(), changed

        (value, changed), gradient = jax.value_and_grad(loss, has_aux=True)(params)
        updates, state = optimizer.update(gradient, state, params)
        return value, optax.apply_updates(params, updates), changed, state

    state, losses = optimizer.init(params), []
    for _ in range(10):
        value, params, rest, state = step(params, rest, state)
        losses.append(float(value))
    assert losses[-1] < 0.8 * losses[0]
