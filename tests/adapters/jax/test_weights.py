"""Weights have ranges of their own: of their values, or what a method finds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import qcore
from qcore.adapters.jax import calibrate, collect, fake_quant, sites

ACTIVATION = {"format": "int8", "symmetric": False}


def rules(**weight):
    return {"weight": {"format": "int8", **weight}, "activation": ACTIVATION}


def made(seed, *shape, shift=0.0):
    values = np.random.default_rng(seed).normal(size=shape) + shift
    return np.asarray(values, np.float32)


def calibrated(f, config, *args):
    _, statistics = collect(f, config)(None, *args)
    return calibrate(f, config, statistics)(*args), statistics


def linear(weights, x):
    return x @ weights["linear"].T


@pytest.mark.parametrize("method", ["mse", "percentile", "entropy"])
def test_a_method_chooses_the_range_of_weights(method):
    weights, x = {"linear": made(0, 4, 64)}, made(1, 8, 64)
    config = rules(method=method, axis="output")
    qparams, _ = calibrated(linear, config, weights, x)
    seen = qcore.Histogram.of(weights["linear"], granularity=qcore.PerChannel(0))
    spec = qcore.QuantSpec("int8", qcore.PerChannel(0))
    expected = qcore.calibrate(seen, spec, method)
    found = qparams["dot_general:0.rhs"]
    np.testing.assert_array_equal(found.scale, expected.scale.reshape(1, 4))
    assert found.spec.granularity == qcore.PerChannel((1,))


def test_the_output_method_knows_the_mean_of_the_inputs():
    weights, x = {"linear": made(0, 4, 64)}, np.abs(made(1, 8, 64))
    qparams, statistics = calibrated(
        linear, rules(method="output", axis="output"), weights, x
    )
    ratio = qcore.mean_ratio(statistics["dot_general:0.lhs"])
    spec = qcore.QuantSpec("int8", qcore.PerChannel(0))
    expected = qcore.qparams_from_weights(
        weights["linear"], spec, mean_ratio=float(np.asarray(ratio)[0])
    )
    found = qparams["dot_general:0.rhs"].scale
    np.testing.assert_array_equal(found, expected.scale.reshape(1, 4))


def test_the_chosen_range_is_the_one_in_use():
    weights, x = {"linear": made(0, 4, 64)}, made(1, 8, 64)
    config = {"weight": {"format": "int4", "method": "mse"}}
    qparams, _ = calibrated(linear, config, weights, x)
    expected = qcore.fake_quantize(
        weights["linear"],
        jax.tree.map(np.asarray, qparams["dot_general:0.rhs"]),
    )
    found = fake_quant(linear, config, qparams)(weights, x)
    np.testing.assert_allclose(found, x @ expected.T, rtol=1e-5, atol=1e-5)


def nested(weights, x):
    """Weights in compiled calls, branches and loops that share them."""
    hidden = jax.jit(lambda w, x: jax.nn.relu(x @ w))(weights["in"], x)
    hidden = jax.lax.fori_loop(0, 2, lambda _, y: jnp.tanh(y @ weights["loop"]), hidden)
    return jax.lax.cond(
        x[0, 0] > 0, lambda y: y @ weights["out"], lambda y: -y @ weights["out"], hidden
    )


def test_weights_are_found_inside_of_calls_loops_and_branches():
    weights = {name: made(i, 4, 4) for i, name in enumerate(("in", "loop", "out"))}
    config, x = rules(method="mse"), made(9, 2, 4)
    collecting = collect(nested, config)
    _, statistics = collecting(None, weights, x)
    _, statistics = collecting(statistics, weights, -x)
    qparams = calibrate(nested, config, statistics)(weights, x)
    found = {name for name in qparams if name.endswith("rhs")}
    weight_sites = [site.name for site in sites(nested)(weights, x) if site.is_weight]
    assert len(weight_sites) == 4
    assert found == set(weight_sites)


def test_weights_that_differ_between_rounds_take_the_range_of_each():
    def f(weights, x):
        return jax.lax.scan(lambda y, w: (y @ w, None), x, weights)[0]

    weights, x = made(0, 2, 4, 4), made(1, 3, 4)
    weights[1] *= 100
    config = rules(method="output", axis="output")
    qparams, _ = calibrated(f, config, weights, x)
    assert list(qparams) == ["dot_general:0.lhs"]
    found = fake_quant(f, config, qparams)(weights, x)
    np.testing.assert_allclose(found, f(weights, x), rtol=0.1, atol=10)


def test_rows_that_data_chooses_are_no_known_weights():
    def f(weights, x, first):
        return x @ jax.lax.dynamic_slice_in_dim(weights, first, 3)

    weights, x = made(0, 8, 4), made(1, 2, 3)
    config = rules(method="mse")
    qparams, _ = calibrated(f, config, weights, x, np.int32(2))
    assert list(qparams) == ["dot_general:0.lhs"]


def test_shapes_of_weights_do_not_suffice_for_a_method_that_reads_them():
    weights, x = {"linear": made(0, 4, 64)}, made(1, 8, 64)
    shapes = jax.eval_shape(lambda weights: weights, weights)
    config = rules(method="output")
    _, statistics = collect(linear, config)(None, weights, x)
    with pytest.raises(qcore.QuantError, match=r"'output' at dot_general:0\.rhs"):
        calibrate(linear, config, statistics)(shapes, x)
    plain = calibrate(linear, rules(), statistics)(shapes, x)
    assert list(plain) == ["dot_general:0.lhs"]


def test_weights_that_are_not_finite_are_named_with_their_site():
    weights, x = {"linear": made(0, 4, 64)}, made(1, 8, 64)
    config = rules(method="mse")
    _, statistics = collect(linear, config)(None, weights, x)
    weights["linear"][0, 0] = np.nan
    with pytest.raises(qcore.NonFiniteError, match=r"dot_general:0\.rhs"):
        calibrate(linear, config, statistics)(weights, x)


@pytest.mark.parametrize(
    "change",
    [
        lambda w: jnp.pad(w, 1)[1:-1, 1:-1],
        jax.jit(lambda w: w.reshape(2, 8).reshape(4, 4)),
        lambda w: jnp.stack([w, w])[1][jnp.asarray([0, 1, 2, 3])],
        lambda w: jnp.split(w, [4])[0],
    ],
)
def test_a_method_reads_weights_that_are_laid_out_anew(change):
    weights, x = made(0, 4, 4), made(1, 3, 4)
    config = {"weight": {"format": "int4", "method": "mse"}}
    qparams, _ = calibrated(lambda w, x: x @ change(w), config, weights, x)
    seen, spec = qcore.Histogram.of(weights), qcore.QuantSpec("int4")
    expected = qcore.calibrate(seen, spec, "mse")
    np.testing.assert_array_equal(qparams["dot_general:0.rhs"].scale, expected.scale)
