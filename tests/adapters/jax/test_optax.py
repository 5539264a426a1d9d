"""A training loop of optax around a quantized function."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from qcore.adapters.jax import calibrate, collect, fake_quant

RULES = {
    "weight": {"format": "int4", "axis": "output"},
    "activation": {"format": "int4", "symmetric": False, "method": "mse"},
}
X = np.random.default_rng(0).normal(size=(64, 6)).astype(np.float32)
TARGET = np.tanh(X[:, :2] - X[:, 2:4])


def network(params, x):
    return jnp.tanh(x @ params["first"]) @ params["last"]


@pytest.fixture
def params():
    random = np.random.default_rng(1)
    shapes = {"first": (6, 16), "last": (16, 2)}
    return {
        name: jnp.asarray(random.normal(size=shape) / 3, jnp.float32)
        for name, shape in shapes.items()
    }


def trained(loss, params, optimizer):
    """Return parameters after 100 steps, and the losses."""

    def step(carry, _):
        params, state = carry
        value, gradient = jax.value_and_grad(loss)(params)
        updates, state = optimizer.update(gradient, state, params)
        return (optax.apply_updates(params, updates), state), value

    start = (params, optimizer.init(params))
    (params, _), losses = jax.jit(lambda start: jax.lax.scan(step, start, length=100))(
        start
    )
    return params, losses


def mean_squares(f, params):
    return optax.l2_loss(f(params, X), TARGET).mean()


def test_a_loop_that_is_scanned_trains_the_quantized_function(params):
    _, statistics = collect(network, RULES)(None, params, X)
    qparams = calibrate(network, RULES, statistics)(params, X)
    f = fake_quant(network, RULES, qparams)
    params, losses = trained(lambda p: mean_squares(f, p), params, optax.adam(0.02))
    assert mean_squares(f, params) < 0.2 * losses[0]


def test_scales_are_trained_with_the_weights(params):
    _, statistics = collect(network, RULES)(None, params, X)
    qparams = calibrate(network, RULES, statistics)(params, X)
    scales = {name: found.scale * 4 for name, found in qparams.items()}

    def loss(trainable):
        params, scales = trainable
        held = {n: replace(found, scale=scales[n]) for n, found in qparams.items()}
        return mean_squares(fake_quant(network, RULES, held), params)

    (_, found), losses = trained(loss, (params, scales), optax.adam(0.02))
    assert losses[-1] < losses[0]
    assert all(np.abs(found[name] - scales[name]).max() > 0 for name in scales)
