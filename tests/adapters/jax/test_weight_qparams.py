"""The scales of weights are those of the leaves of parameters, however laid out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import qcore
from qcore.adapters.jax import (
    Config,
    calibrate,
    collect,
    dequantize,
    fake_quant,
    quantize_params,
    weight_qparams,
)

RULES = {
    "weight": {"format": "int8", "axis": "output"},
    "activation": {"format": "int8", "dynamic": True},
}


def made(seed, *shape):
    return np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)


def looped(w, x):
    return jax.lax.scan(lambda x, w: (jnp.tanh(x @ w), None), x, w)[0]


def convolution(w, x):
    layout = ("NHWC", "HWIO", "NHWC")
    x = x.reshape(-1, 4, 4, 1)
    return jax.lax.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=layout)


def halves(w, x):
    return (x @ w[:, :8]) * (x @ w[:, 8:])


def split(w, x):
    return jnp.multiply(*(x @ part for part in jnp.split(w, 2, 1)))


CASES = {
    "direct": (lambda w, x: x @ w, (16, 6), (1,)),
    "transposed": (lambda w, x: x @ w.T, (6, 16), (0,)),
    "heads": (lambda w, x: jnp.einsum("bd,dhe->bhe", x, w), (16, 3, 2), (1, 2)),
    "merged": (lambda w, x: x @ w.reshape(16, 6), (16, 3, 2), (1, 2)),
    "sliced": (halves, (16, 16), (1,)),
    "split": (split, (16, 16), (1,)),
    "of a loop": (looped, (3, 16, 16), (0, 2)),
    "convolution": (convolution, (3, 3, 1, 6), (3,)),
    "twice": (lambda w, x: x @ w @ w, (16, 16), (1,)),
    "compiled": (jax.jit(jax.checkpoint(lambda w, x: x @ w.T)), (6, 16), (0,)),
}


@pytest.mark.parametrize(("f", "shape", "kept"), CASES.values(), ids=CASES)
def test_scales_lie_along_the_axes_that_the_leaf_has(f, shape, kept):
    w, x = made(0, *shape), made(1, 4, 16)
    (found,) = weight_qparams(f, RULES)(w, x).values()
    summed = tuple(axis for axis in range(w.ndim) if axis not in kept)
    amax = np.abs(w).max(summed, keepdims=True)
    np.testing.assert_array_equal(found.scale, amax / np.float32(127))
    assert found.spec.granularity == qcore.PerChannel(kept)


@pytest.mark.parametrize(("f", "shape", "_"), CASES.values(), ids=CASES)
def test_quantized_weights_give_what_weights_give_bit_for_bit(f, shape, _):
    w, x = {"w": made(0, *shape)}, made(1, 4, 16)
    run = jax.jit(fake_quant(lambda params, x: f(params["w"], x), RULES))
    given = weight_qparams(lambda params, x: f(params["w"], x), RULES)(w, x)
    small = quantize_params(w, given)
    np.testing.assert_array_equal(run(dequantize(small), x), run(w, x))


def network(params, x):
    x = jax.nn.relu(x @ params["first"]["kernel"] + params["first"]["bias"])
    return x @ params["second"].T


@pytest.fixture
def params():
    return {
        "first": {"kernel": made(0, 16, 8), "bias": made(1, 8)},
        "second": made(2, 5, 8),
    }


def test_a_calibrated_network_gives_the_same_numbers_from_codes(params):
    x = made(3, 10, 16)
    _, statistics = collect(network)(None, params, x)
    qparams = calibrate(network, None, statistics)(params, x)
    given = weight_qparams(network, None, qparams)(params, x)
    assert set(given) == {"first/kernel", "second"}
    small = quantize_params(params, given)
    run = fake_quant(network, None, qparams)
    np.testing.assert_array_equal(run(dequantize(small), x), run(params, x))


def test_scales_given_for_a_site_are_those_of_the_leaf(params):
    spec = qcore.QuantSpec("int4", qcore.PerChannel(1))
    scale = jnp.arange(1, 6, dtype=jnp.float32).reshape(1, 5)
    site = {"dot_general:1.rhs": qcore.QParams(scale, jnp.zeros((1, 5), int), spec)}
    found = weight_qparams(network, RULES, site)(params, made(3, 10, 16))["second"]
    np.testing.assert_array_equal(found.scale, np.arange(1, 6).reshape(5, 1))
    assert found.spec == qcore.QuantSpec("int4", qcore.PerChannel((0,)))


def test_blocks_lie_along_the_axis_that_the_leaf_has(params):
    rules = {**RULES, "weight": {"format": "int4", "block_size": 4}}
    found = weight_qparams(network, rules)(params, made(3, 10, 16))
    assert found["first/kernel"].spec.granularity == qcore.PerBlock(0, 4)
    assert found["second"].spec.granularity == qcore.PerBlock(1, 4)
    assert found["second"].scale.shape == (5, 2)


def test_leaves_that_are_used_otherwise_are_left_out(params):
    def f(params, x):
        return network(params, x) + jnp.abs(params["second"]).sum()

    assert set(weight_qparams(f, RULES)(params, made(3, 10, 16))) == {"first/kernel"}


def test_leaves_that_are_used_in_part_are_left_out():
    assert (
        weight_qparams(lambda w, x: x @ w[:16], RULES)(made(0, 20, 3), made(1, 2, 16))
        == {}
    )


def test_sites_that_differ_are_named_with_their_leaf():
    def f(params, x):
        return x @ params["w"] @ params["w"].T

    with pytest.raises(
        qcore.QuantError, match=r"w must .*:0\.rhs and .*:1\.rhs differ"
    ):
        weight_qparams(f, RULES)({"w": made(0, 16, 16)}, made(1, 2, 16))


def test_names_begin_with_the_argument_where_several_hold_weights():
    def f(first, second, x):
        return x @ first["w"] @ second["w"]

    args = {"w": made(0, 16, 16)}, {"w": made(1, 16, 4)}, made(2, 3, 16)
    found = weight_qparams(f, Config(RULES, weights=(0, 1)))(*args)
    assert set(found) == {"0/w", "1/w"}
