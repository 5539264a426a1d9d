"""What was saved, and what other libraries hold, is taken by site."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import qcore
from qcore.adapters.jax import calibrate, collect, fake_quant, quantized_dots

W = jnp.asarray(np.random.default_rng(0).normal(size=(8, 4)), jnp.float32)
X = jnp.asarray(np.random.default_rng(1).normal(size=(3, 8)), jnp.float32)


def f(w, x):
    return x @ w


@pytest.fixture
def statistics():
    return collect(f)(None, W, X)[1]


@pytest.mark.parametrize("compile", [lambda g: g, jax.jit])
def test_files_of_statistics_and_qparams_are_taken_as_they_load(
    statistics, tmp_path, compile
):
    qparams = calibrate(f, None, statistics)(W, X)
    expected = compile(fake_quant(f, None, qparams))(W, X)
    qcore.save(tmp_path / "statistics", statistics)
    qcore.save_qparams(tmp_path / "qparams", qparams)
    seen = qcore.load(tmp_path / "statistics")
    loaded = qcore.load_qparams(tmp_path / "qparams")
    for given in (seen, loaded, calibrate(f, None, seen)(W, X)):
        found = compile(fake_quant(f, None, given))(W, X)
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("compile", [lambda g: g, jax.jit])
def test_loaded_statistics_go_on_collecting(statistics, tmp_path, compile):
    qcore.save(tmp_path / "s", statistics)
    _, more = compile(collect(f))(qcore.load(tmp_path / "s"), W, 2 * X)
    _, expected = collect(f)(statistics, W, 2 * X)
    for a, b in zip(*map(jax.tree.leaves, (more, expected)), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: fake_quant(f, None, 5), "`qparams` must be a mapping .* got int"),
        (
            lambda: fake_quant(f, None, {"dot_general:0.lhs": 3}),
            "`qparams` must hold QParams or statistics; got int for 'dot_general:0.l",
        ),
        (lambda: quantized_dots(f, None, [1]), "`qparams` must be a mapping"),
        (lambda: calibrate(f, None, [1]), "`statistics` must be a mapping"),
        (lambda: collect(f)(3, W, X), "`statistics` must be a mapping .* got int"),
    ],
)
def test_what_is_given_for_no_site_is_refused(call, said):
    with pytest.raises(TypeError, match=said):
        call()
