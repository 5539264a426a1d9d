"""Weights have ranges of their own: of their values, or what a method finds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import qcore
from qcore.adapters.jax import calibrate, collect, fake_quant, sites

ACTIVATION = {"symmetric": False, "method": "minmax", "bins": 64}


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


@pytest.mark.parametrize(
    ("weight", "method"),
    [({}, "output"), ({"symmetric": False}, "minmax"), ({"format": "int4"}, "output")],
)
def test_by_default_the_output_of_symmetric_weights_changes_least(weight, method):
    weights, x = {"linear": made(0, 4, 64)}, np.abs(made(1, 8, 64))
    found, _ = calibrated(linear, rules(**weight), weights, x)
    expected, _ = calibrated(linear, rules(**weight, method=method), weights, x)
    assert ("dot_general:0.rhs" in found) == (method == "output")
    assert found.keys() == expected.keys()
    for name, one in found.items():
        np.testing.assert_array_equal(one.scale, expected[name].scale)


def test_halves_have_the_scales_of_the_same_numbers_in_32_bits():
    weights, x = jnp.asarray(made(0, 64, 4), jnp.bfloat16), made(1, 8, 64)
    of_halves, statistics = calibrated(
        lambda w, x: x.astype(w.dtype) @ w, rules(), weights, x
    )
    wide = calibrate(lambda w, x: x @ w, rules(), statistics)(np.float32(weights), x)
    name = "dot_general:0.rhs"
    np.testing.assert_array_equal(of_halves[name].scale, wide[name].scale)


def twice(w, x):
    """Weights laid out twice, for inputs whose mean is zero, and not."""
    return jnp.abs(x @ w.T) @ w.T


def test_sites_that_share_weights_share_their_scales():
    weights, x = made(0, 16, 16), made(1, 40, 16)
    qparams, statistics = calibrated(twice, rules(), weights, x)
    seen = [statistics[f"dot_general:{number}.lhs"].to(np) for number in (0, 1)]
    ratio = sum(float(qcore.mean_ratio(one)[0]) for one in seen) / 2
    assert ratio > 0.1
    expected = qcore.qparams_from_weights(
        weights, qcore.QuantSpec("int8"), mean_ratio=ratio
    )
    for number in (0, 1):
        found = qparams[f"dot_general:{number}.rhs"]
        np.testing.assert_array_equal(found.scale, expected.scale)


def test_compiled_the_scales_of_weights_are_those_chosen_eagerly():
    weights, x = made(0, 16, 16), made(1, 40, 16)
    config = rules()
    eager, statistics = calibrated(twice, config, weights, x)
    traced = jax.jit(lambda seen, *args: calibrate(twice, config, seen)(*args))
    found = traced(statistics, weights, x)
    for name, one in eager.items():
        np.testing.assert_array_equal(found[name].scale, one.scale)


def test_scales_of_known_weights_are_no_part_of_what_is_compiled():
    weights, x = made(0, 16, 16), made(1, 4, 16)
    _, statistics = collect(twice, rules())(None, weights, x)

    @jax.jit
    def closed(x):
        chosen = calibrate(twice, rules(), statistics)(weights, x)
        scales = [one.scale for one in chosen.values()]
        assert not any(isinstance(scale, jax.core.Tracer) for scale in scales)
        return fake_quant(twice, rules(), chosen)(weights, x)

    found = closed(x)
    expected = fake_quant(twice, rules(), statistics)(weights, x)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


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
    config, x = rules(), made(9, 2, 4)
    collecting = jax.jit(collect(nested, config))
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
    plain = calibrate(linear, rules(method="minmax"), statistics)(shapes, x)
    assert list(plain) == ["dot_general:0.lhs"]


@pytest.mark.parametrize("method", ["mse", "output"])
def test_weights_that_are_not_finite_are_named_with_their_site(method):
    weights, x = {"linear": made(0, 4, 64)}, made(1, 8, 64)
    config = rules(method=method)
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
