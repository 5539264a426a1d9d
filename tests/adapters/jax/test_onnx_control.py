"""Loops, branches and calls compute in ONNX Runtime what they do in JAX."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from tests.adapters.jax.onnx_runs import exported_float, nodes, run

X = np.random.default_rng(0).normal(size=(4, 4)).astype(np.float32)


def check(f, *args):
    model = exported_float(f, *args)
    expected = jax.tree.leaves(f(*map(jnp.asarray, args)))
    for got, wanted in zip(run(model, *args), expected, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)
    return model


def rounds(count, reverse=False):
    def f(x, rows):
        def step(carry, row):
            carry = jnp.tanh(carry @ x) + row
            return carry, (carry.sum(), row)

        return lax.scan(step, x[0], rows, reverse=reverse)

    return f, np.resize(X, (count, 4))


@pytest.mark.parametrize("reverse", [False, True])
def test_a_short_loop_is_written_round_by_round(reverse):
    f, rows = rounds(3, reverse)
    model = check(f, X, rows)
    assert len(nodes(model, "Tanh")) == 3


@pytest.mark.parametrize("reverse", [False, True])
def test_a_long_loop_is_one_node(reverse):
    f, rows = rounds(40, reverse)
    model = check(f, X, rows)
    assert len(nodes(model, "Scan")) == 1
    assert not nodes(model, "Tanh")


def test_a_long_loop_over_nothing_is_one_node():
    model = check(lambda x: lax.scan(lambda c, _: (c * 0.9, c[0]), x, length=30), X)
    assert len(nodes(model, "Scan")) == 1


def test_a_loop_runs_while_a_condition_holds():
    def f(x, limit):
        return lax.while_loop(
            lambda held: held[0] < limit,
            lambda held: (held[0] + 1, held[1] @ x / 2),
            (jnp.int32(0), x),
        )

    assert len(nodes(check(f, X, np.int32(5)), "Loop")) == 1
    check(f, X, np.int32(0))


def test_a_branch_is_taken_when_the_model_runs():
    def f(x):
        return lax.cond(x.sum() > 0, jnp.sin, lambda x: x[::-1], x)

    for x in (X, -X):
        assert len(nodes(check(f, x), "If")) == 1


@pytest.mark.parametrize("number", [-1, 0, 1, 2, 9])
def test_one_of_many_branches_is_taken(number):
    def f(which, x):
        return lax.switch(which, [jnp.sin, lambda x: x, jnp.cos], x)

    check(f, np.int32(number), X)


def test_a_branch_that_is_known_is_written_alone():
    model = check(lambda x: lax.cond(jnp.bool_(True), jnp.sin, jnp.cos, x), X)
    assert [node.op_type for node in model.graph.node] == ["Sin"]


def test_calls_are_written_in_their_place():
    @jax.custom_vjp
    def odd(x):
        return jnp.sinh(x)

    odd.defvjp(lambda x: (odd(x), x), lambda _, g: (g,))
    model = check(lambda x: jax.jit(jax.checkpoint(odd))(jax.nn.silu(x)), X)
    assert [n.op_type for n in model.graph.node] == ["Sigmoid", "Mul", "Sinh"]


def test_what_is_known_is_no_part_of_the_model():
    def f(x):
        noise = jax.random.normal(jax.random.key(0), (4,))
        return x + jnp.sin(noise)

    model = check(f, X)
    assert [node.op_type for node in model.graph.node] == ["Add"]
