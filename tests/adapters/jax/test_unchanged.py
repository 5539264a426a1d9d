"""All but what is quantized is computed as without a transform, bit for bit."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qcore.adapters.jax import fake_quant
from qcore.adapters.jax.calls import bound
from qcore.adapters.jax.program import traced
from qcore.adapters.jax.sites import sites_of
from tests.adapters.jax.programs import PROGRAMS, X

OFF = [{"skip": True}]

EVERY = pytest.mark.parametrize(
    "f", PROGRAMS, ids=lambda f: getattr(f, "func", f).__name__
)


class Idle:
    """A visitor that counts the products it computes, as they are."""

    def visit(self, index, equation, inputs, state):
        del index
        return bound(equation, inputs), state + 1

    def empty(self, state):
        del state
        return 0

    def reduced(self, state, axes):
        return jax.lax.psum(state, axes)

    def merged(self, before, after):
        return before + after


def visited(f):
    """Return a function that rebuilds all that holds a product, and counts these."""

    def run(*args):
        program = traced(f, None, args, {})
        indices = {site.index for site in sites_of(program.closed, program.is_weight)}
        return program.run("test", frozenset(indices), Idle(), jnp.int32(0))

    return run


def described(leaf: Any) -> Any:
    """Return all that tells one leaf from another."""
    if not isinstance(leaf, jax.Array):
        return leaf
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.random.key_data(leaf)
    data = np.asarray(leaf)
    return data.shape, str(leaf.dtype), leaf.weak_type, data.tobytes()


def assert_same(found, expected):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    pairs = zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True)
    for a, b in pairs:
        assert described(a) == described(b)


@EVERY
def test_with_quantization_off_nothing_changes(f):
    assert_same(fake_quant(f, OFF)(X), f(X))


@EVERY
def test_what_holds_a_site_is_rebuilt_as_it_was(f):
    found, visits = visited(f)(X)
    assert_same(found, f(X))
    if PROGRAMS[f] is not None:
        assert visits == PROGRAMS[f]


def test_what_is_not_needed_any_more_is_freed():
    shape, alive = (5, 11, 13), []

    class Looking(Idle):
        def visit(self, index, equation, inputs, state):
            alive.append(sum(x.shape == shape for x in jax.live_arrays()))
            return super().visit(index, equation, inputs, state)

    def f(x):
        for _ in range(20):
            x = jnp.sin(x)
        return x.reshape(-1, 13) @ jnp.ones((13, 2))

    program = traced(f, None, (jnp.zeros(shape),), {})
    (index, _) = (site.index for site in sites_of(program.closed, [False]))
    program.run("test", frozenset([index]), Looking(), 0)
    assert alive[0] <= 3


def test_effects_come_in_their_order_from_inside_of_loops():
    def f(x, heard):
        def step(x, number):
            x = jnp.tanh(x @ x.T @ x)
            jax.debug.callback(lambda n: heard.append(int(n)), number, ordered=True)
            return x, None

        return jax.lax.scan(step, x, jnp.arange(4))[0]

    heard = []
    visited(lambda x: f(x, heard))(X)
    jax.effects_barrier()
    assert heard == [0, 1, 2, 3]
