"""What functions are given may be of NumPy, or numbers."""

import jax.numpy as jnp
import numpy as np

from qcore.adapters.jax import Config, calibrate, collect, fake_quant

WEIGHTS = np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3)
X = np.linspace(-2, 3, 8, dtype=np.float32).reshape(2, 4)


def test_arrays_of_numpy_give_what_arrays_of_jax_give() -> None:
    def f(weights, x, factor):
        return factor * (x @ weights)

    out, seen = collect(f)(None, WEIGHTS, X, 0.5)
    _, other = collect(f)(None, jnp.asarray(WEIGHTS), jnp.asarray(X), 0.5)
    np.testing.assert_allclose(out, 0.5 * X @ WEIGHTS, rtol=1e-6)
    (name,) = seen
    np.testing.assert_array_equal(seen[name].counts, other[name].counts)
    qparams = calibrate(f, None, seen)(WEIGHTS, X, 0.5)
    got = fake_quant(f, None, qparams)(WEIGHTS, X, 0.5)
    expected = fake_quant(f, None, qparams)(jnp.asarray(WEIGHTS), jnp.asarray(X), 0.5)
    np.testing.assert_array_equal(got, expected)


def test_a_constant_of_numpy_is_a_weight() -> None:
    constant = np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3)
    config = Config({"weight": {"format": "int8"}}, weights=None)
    got = fake_quant(lambda x: x @ constant, config)(X)
    codes = np.rint(constant / np.float32(1 / 127))
    np.testing.assert_allclose(got, X @ (codes / 127), rtol=1e-5, atol=1e-6)
