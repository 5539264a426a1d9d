"""What is no array reaches the function as it is, and so do results."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qcore.adapters.jax import Config, calibrate, collect, fake_quant, sites
from tests.adapters.jax.programs import W, X
from tests.adapters.jax.test_unchanged import OFF, assert_same

ROUGH = [{"activation": {"method": "minmax"}}]


def f(params, x, layers, *, activation=jnp.tanh, name=None, train=False, scale=1.0):
    for _ in range(layers):
        x = activation(x @ params["w"]) * scale
    return {"out": x if train else -x, "name": name, "function": activation}


GIVEN = ({"w": W, "none": None, "label": "w"}, X, 2)
NAMED = {"activation": jnp.sin, "name": "sine", "train": True, "scale": 2}


@pytest.mark.parametrize("kwargs", [{}, NAMED])
def test_flags_strings_and_functions_are_static(kwargs):
    assert_same(fake_quant(f, OFF)(*GIVEN, **kwargs), f(*GIVEN, **kwargs))


def test_every_function_of_a_call_takes_the_same_arguments():
    assert len(sites(f)(*GIVEN, **NAMED)) == 4
    out, seen = collect(f, ROUGH)(None, *GIVEN, **NAMED)
    assert_same(out, f(*GIVEN, **NAMED))
    qparams = calibrate(f, ROUGH, seen)(*GIVEN, **NAMED)
    found = fake_quant(f, ROUGH, qparams)(*GIVEN, **NAMED)
    assert found["name"] == "sine"
    np.testing.assert_allclose(found["out"], out["out"], atol=0.1)


def test_static_arguments_of_a_compiled_function_stay_static():
    def g(params, x, layers, train=False):
        return f(params, x, layers, train=train)["out"]

    compiled = jax.jit(g, static_argnums=2, static_argnames="train")
    found = fake_quant(compiled, OFF)({"w": W}, X, 2, train=True)
    assert_same(found, compiled({"w": W}, X, 2, train=True))


def test_a_number_is_as_weak_as_ever():
    halved = fake_quant(lambda x, factor: x.astype(jnp.bfloat16) * factor, OFF)
    assert halved(X, 0.5).dtype == jnp.bfloat16
    assert halved(X, np.float32(0.5)).dtype == jnp.float32


def test_what_traces_a_number_gives_it_traced():
    slope = jax.grad(fake_quant(lambda factor, x: (factor * x).sum(), OFF))
    np.testing.assert_allclose(slope(2.0, X), X.sum(), rtol=1e-6)


def test_a_callable_object_can_be_transformed():
    class Layer:
        def __init__(self, weight):
            self.weight = weight

        def __call__(self, x):
            return x @ self.weight

    for layer in (Layer(W), partial(lambda w, x: x @ w, W)):
        (lhs, rhs) = sites(layer)(X)
        assert (lhs.is_weight, rhs.is_weight) == (False, True)
        np.testing.assert_array_equal(fake_quant(layer, OFF)(X), X @ W)


def test_weights_are_named_by_position_or_name():
    def g(x, params, *, extra):
        return (x @ params) @ extra

    def weights(chosen, *args, **kwargs):
        found = sites(g, weights=chosen)(*args, **kwargs)
        return [site.name for site in found if site.is_weight]

    first, second = "dot_general:0.rhs", "dot_general:1.rhs"
    assert weights(1, X, W, extra=W) == weights("params", X, W, extra=W) == [first]
    assert weights("params", X, params=W, extra=W) == [first]
    assert weights((-1, "extra"), X, W, extra=W) == [first, second]
    assert weights(None, X, W, extra=W) == []
    with pytest.raises(ValueError, match="`weights` must name arguments; 'parms'"):
        weights("parms", X, W, extra=W)
    with pytest.raises(ValueError, match="`weights` must name arguments; 2 is"):
        weights(2, X, W, extra=W)


def test_the_first_of_several_arguments_is_weights_and_a_single_one_is_data():
    several = sites(lambda w, x: x @ w)(W, X)
    single = sites(lambda x, flag: x @ x.T if flag else x)(X, True)
    assert [site.is_weight for site in several] == [False, True]
    assert [site.is_weight for site in single] == [False, False]
    assert Config().weights is Config(OFF).weights


def test_keys_of_random_numbers_are_arguments():
    def noisy(key, x):
        return x @ W + jax.random.normal(key, (3, 4)), jax.random.split(key)

    key = jax.random.key(3)
    assert_same(fake_quant(noisy, OFF)(key, X), noisy(key, X))


def test_float64_is_computed_in_float64():
    with jax.enable_x64(True):
        x = jnp.asarray(np.linspace(-1, 1, 8).reshape(2, 4))
        rule = [{"activation": {"format": "int16", "dynamic": True}}]
        one = jnp.eye(4)
        found = fake_quant(lambda x: x @ one, rule)(x)
        assert found.dtype == jnp.float64
        step = np.float64(np.float32(1 / 32767))
        np.testing.assert_allclose(found, np.rint(x / step) * step, rtol=1e-12)
