"""Derivatives: the user's own are kept, others pass straight through the rounding."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import qcore
from qcore.adapters.jax import fake_quant
from tests.adapters.jax import programs
from tests.adapters.jax.programs import PROGRAMS, W, X
from tests.adapters.jax.test_unchanged import OFF, assert_same, visited

IRREVERSIBLE = ("while_loop", "condition", "mapped_loop", "printing")
DIFFERENTIABLE = [
    f for f in PROGRAMS if getattr(f, "func", f).__name__ not in IRREVERSIBLE
]

EVERY = pytest.mark.parametrize(
    "f", DIFFERENTIABLE, ids=lambda f: getattr(f, "func", f).__name__
)

ROUNDED = [{"activation": {"format": "int4", "dynamic": True}}]


def summed(f):
    """Return the sum of all that `f` computes in floating point."""

    def total(x):
        leaves = [leaf for leaf in jax.tree.leaves(f(x)) if isinstance(leaf, jax.Array)]
        floats = [leaf for leaf in leaves if jnp.issubdtype(leaf.dtype, jnp.floating)]
        return sum(leaf.astype(jnp.float32).sum() for leaf in floats)

    return total


@EVERY
def test_what_holds_a_site_has_the_gradient_it_had(f):
    rebuilt = visited(f)
    found = jax.grad(summed(lambda x: rebuilt(x)[0]))(X)
    assert_same(found, jax.grad(summed(f))(X))


@pytest.mark.parametrize("f", [programs.tripled, programs.scan, programs.saved])
def test_what_holds_a_site_has_the_forward_derivative_it_had(f):
    rebuilt = visited(f)
    found = jax.jvp(lambda x: rebuilt(x)[0], (X,), (X,))
    assert_same(found, jax.jvp(f, (X,), (X,)))


def test_a_custom_derivative_is_kept_and_the_value_is_quantized():
    quantized = fake_quant(programs.tripled, ROUNDED)
    value, slope = jax.jvp(quantized, (X,), (X,))
    assert_same(slope, 3 * X)
    scale = jnp.abs(X).max() / 7
    np.testing.assert_allclose(value, jnp.round(X / scale) * scale @ W, rtol=1e-5)


def test_a_custom_gradient_is_kept_and_the_value_is_quantized():
    def f(x):
        return programs.scaled(x, 2.0)

    value, gradient = jax.vjp(fake_quant(f, ROUNDED), X)
    assert_same(gradient(jnp.ones_like(X))[0], 2 * jnp.sin(X))
    scale = jnp.abs(X).max() / 7
    expected = 2 * (jnp.round(X / scale) * scale @ W)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    assert not np.allclose(value, f(X), rtol=1e-3)


def test_a_custom_gradient_holds_in_a_loop_and_under_vmap():
    def f(x):
        step = lambda x, _: (programs.scaled(x, 0.5), None)  # noqa: E731
        return jax.lax.scan(step, x, None, length=2)[0].sum()

    quantized = jax.vmap(jax.grad(fake_quant(f, OFF)))
    rebuilt = visited(f)
    found = jax.vmap(jax.grad(lambda x: rebuilt(x)[0]))(X)
    assert_same(found, jax.vmap(jax.grad(f))(X))
    assert_same(quantized(X), jax.vmap(jax.grad(f))(X))


def test_a_function_of_attention_keeps_its_own_gradient():
    """The backward pass of a fused attention reads what its forward pass kept."""

    @jax.custom_vjp
    def attention(q, k, v):
        return jax.nn.softmax(q @ k.T) @ v

    def forward(q, k, v):
        weights = jax.nn.softmax(q @ k.T)
        return weights @ v, (weights, q, k, v)

    def backward(kept, gradient):
        weights, q, k, v = kept
        of_weights = gradient @ v.T
        inner = (of_weights * weights).sum(1, keepdims=True)
        of_scores = weights * (of_weights - inner)
        return of_scores @ k, of_scores.T @ q, weights.T @ gradient

    attention.defvjp(forward, backward)
    q, k, v = (programs.made(seed, 5, 4) for seed in range(3))
    quantized = fake_quant(attention, [{"activation": {"dynamic": True}}])
    gradients = jax.grad(lambda *x: (quantized(*x) ** 2).sum(), (0, 1, 2))(q, k, v)
    value = quantized(q, k, v)
    expected = jax.vjp(attention, q, k, v)[1](2 * value)
    assert_same(gradients, expected)
    assert not np.array_equal(value, attention(q, k, v))


def test_the_gradient_of_an_activation_is_not_clipped():
    """Only a function with a rule of its own keeps it: relu holds no site."""
    quantized = fake_quant(lambda x: jax.nn.relu(x) @ W, ROUNDED)
    at_zero = jax.grad(lambda x: quantized(x).sum())(jnp.zeros((1, 4)))
    np.testing.assert_array_equal(at_zero, np.zeros((1, 4)))


def test_the_second_derivative_of_a_custom_rule_is_that_of_the_rule():
    @jax.custom_jvp
    def cube(x):
        return (x[None] @ x[None].T)[0, 0] * x[0]

    cube.defjvp(lambda given, along: (cube(*given), given[0] @ along[0] * given[0][0]))
    x = jnp.float32([2.0, 0.0])
    rebuilt = visited(cube)
    found = jax.hessian(lambda x: rebuilt(x)[0])(x)
    np.testing.assert_array_equal(found, jax.hessian(cube)(x))


def test_the_gradient_is_straight_through_and_zero_where_it_saturates():
    """Of x and w in sum(x̂ ŵ): ŵ where x is in range, and x̂ where w is."""
    spec = qcore.QuantSpec("int4")
    step = qcore.QParams(jnp.float32(0.5), jnp.int32(0), spec)
    rule = {"weight": {"format": "int4"}, "activation": {"format": "int4"}}
    f = fake_quant(
        lambda w, x: jnp.dot(x, w),
        rule,
        {"dot_general:0.lhs": step, "dot_general:0.rhs": step},
    )
    w, x = jnp.float32([0.6, 1.2, -9.0]), jnp.float32([0.3, -9.0, 1.4])
    of_w, of_x = jax.jit(jax.grad(f, argnums=(0, 1)))(w, x)
    np.testing.assert_array_equal(of_w, [0.5, -4.0, 0.0])
    np.testing.assert_array_equal(of_x, [0.5, 0.0, -4.0])
