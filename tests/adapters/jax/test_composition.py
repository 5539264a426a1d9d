"""Transformed functions go on under the transforms of JAX."""

import jax
import jax.numpy as jnp
import numpy as np

import qcore
from qcore.adapters.jax import calibrate, collect, fake_quant
from tests.adapters.jax import programs
from tests.adapters.jax.programs import W, X, made

DYNAMIC = [
    {
        "weight": {"format": "int4", "axis": "output"},
        "activation": {"format": "int8", "dynamic": True},
    }
]
STATIC = [{"activation": {"bins": 16, "method": "minmax"}}]


def rounded(x, axis=None, largest=127):
    """Return numbers rounded by a scale for all, or for each index along an axis."""
    kept = None if axis is None else tuple(a for a in range(x.ndim) if a != axis)
    scale = np.abs(x).max(kept, keepdims=kept is not None) / np.float32(largest)
    return np.rint(x / scale) * scale


def product(w, x):
    return x @ w


def expected(w, x):
    return rounded(np.asarray(x)) @ rounded(np.asarray(w), 1, 7)


def test_stacked_weights_that_are_mapped_over_have_their_own_scales():
    stacked = jnp.stack([W, 100 * W])
    found = jax.vmap(fake_quant(product, DYNAMIC), (0, None))(stacked, X)
    for result, w in zip(found, stacked, strict=True):
        np.testing.assert_allclose(result, expected(w, X), rtol=1e-5, atol=1e-5)


def test_a_map_inside_shares_the_scales_of_its_site():
    stacked = jnp.stack([W, 100 * W])
    inside = fake_quant(jax.vmap(product, (0, None)), [{"weight": {"format": "int4"}}])
    scale = np.float32(np.abs(stacked).max() / 7)
    wanted = np.asarray(X) @ (np.rint(np.asarray(stacked) / scale) * scale)
    np.testing.assert_allclose(inside(stacked, X), wanted, rtol=1e-5, atol=1e-4)


def test_each_round_of_a_loop_takes_the_range_of_its_weights():
    stacked = jnp.stack([W, 100 * W, W / 100])

    def f(weights, x):
        return jax.lax.scan(lambda x, w: (jnp.tanh(x @ w), None), x, weights)[0]

    y = np.asarray(X)
    for w in stacked:
        y = np.tanh(expected(w, y))
    found = jax.jit(fake_quant(f, DYNAMIC))(stacked, X)
    np.testing.assert_allclose(found, y, atol=0.02)
    np.testing.assert_allclose(fake_quant(f, DYNAMIC)(stacked, X), found, atol=1e-5)


def test_a_transformed_function_can_be_the_body_of_a_loop():
    f = fake_quant(lambda w, x: jnp.tanh(x @ w), DYNAMIC)
    looped, _ = jax.lax.scan(lambda x, _: (f(W, x), None), X, None, length=3)
    x = X
    for _ in range(3):
        x = f(W, x)
    np.testing.assert_allclose(looped, x, atol=1e-5)


def test_a_checkpoint_does_not_change_value_or_gradient():
    loss = lambda w, x: (jnp.tanh(product(w, x)) ** 2).sum()  # noqa: E731
    plain = jax.value_and_grad(fake_quant(loss, DYNAMIC))
    again = jax.value_and_grad(jax.checkpoint(fake_quant(loss, DYNAMIC)))
    inside = jax.value_and_grad(fake_quant(jax.checkpoint(loss), DYNAMIC))
    wanted = jax.jit(plain)(W, X)
    for other in (again, inside):
        for a, b in zip(jax.jit(other)(W, X), wanted, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_gradients_of_a_mapped_loop_are_those_of_its_rounded_operands():
    """Straight through: the gradient of a product of what was rounded, all in range."""

    def loss(w, x):
        return jax.vmap(lambda row: row @ w)(x).sum()

    of_w, of_x = jax.grad(fake_quant(loss, DYNAMIC), argnums=(0, 1))(W, X)
    x, w = rounded(np.asarray(X)), rounded(np.asarray(W), 1, 7)
    np.testing.assert_allclose(of_w, np.tile(x.sum(0)[:, None], 4), rtol=1e-5)
    np.testing.assert_allclose(of_x, np.tile(w.sum(1), (3, 1)), rtol=1e-5, atol=1e-6)


def test_scales_can_be_arguments_of_a_compiled_function():
    _, seen = collect(product, STATIC)(None, W, X)
    qparams = calibrate(product, STATIC, seen)(W, X)
    run = jax.jit(lambda qparams, *args: fake_quant(product, STATIC, qparams)(*args))
    first = fake_quant(product, STATIC, qparams)(W, X)
    np.testing.assert_allclose(run(qparams, W, X), first, rtol=1e-6)


def test_scales_can_be_learned():
    """The gradient of the scale is the sum of (x̂ - x) / s over what is in range."""
    spec = qcore.QuantSpec("int4")
    x = jnp.float32([[0.3, -1.9, 9.0]])

    def loss(scale):
        step = qcore.QParams(scale, jnp.int32(0), spec)
        f = fake_quant(lambda x: x @ jnp.ones((3, 1)), rule, {SITE: step})
        return f(x).sum()

    rule, SITE = [{"site": "*.lhs", "activation": {}}], "dot_general:0.lhs"  # noqa: N806
    found = jax.grad(loss)(jnp.float32(0.5))
    np.testing.assert_allclose(found, (1 - 0.6) + (-4 + 3.8) + 7, rtol=1e-5)


def test_neither_transform_traces_again_for_another_batch():
    traces = []

    def counted(x):
        traces.append(0)
        return programs.over_layers(x)[0]

    collecting = jax.jit(collect(counted, STATIC))
    _, seen = collecting(None, X)
    _, seen = collecting(seen, X)
    rounding = jax.jit(fake_quant(counted, STATIC, calibrate(counted, STATIC, seen)(X)))
    rounding(X)
    before = len(traces)
    for seed in range(3):
        _, seen = collecting(seen, made(seed, 3, 4))
        rounding(made(seed, 3, 4))
    assert len(traces) == before


def test_no_traced_array_is_left_behind():
    def loss(w, x):
        x = programs.scaled(programs.tripled(programs.saved(x)), 2.0)
        return (jax.jit(product)(w, x) ** 2).sum()

    with jax.checking_leaks():
        jax.make_jaxpr(jax.grad(fake_quant(loss, DYNAMIC)))(W, X)
        jax.make_jaxpr(collect(jax.grad(loss), STATIC))(None, W, X)
