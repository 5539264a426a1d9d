"""JAX may reuse the buffers of a state that an update replaces."""

import numpy as np
import pytest

import qcore

jax = pytest.importorskip("jax")


@pytest.mark.parametrize(
    "kind",
    [
        qcore.Histogram,
        qcore.Range,
        qcore.MovingRange,
        qcore.Moments,
        qcore.Top2,
    ],
)
def test_an_update_takes_the_buffers_of_a_donated_state(kind):
    x = jax.numpy.asarray(np.linspace(-3, 4, 700, dtype=np.float32).reshape(100, 7))
    update = jax.jit(lambda state, x: state.update(x), donate_argnums=0)
    state = kind.of(x)
    expected = state.update(x)
    donated = [getattr(state, name) for name in state.array_fields()]
    found = update(state, x)
    assert all(field.is_deleted() for field in donated)
    for name in expected.array_fields():
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
