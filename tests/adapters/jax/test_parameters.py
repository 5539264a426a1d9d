"""Parameters as codes and scales, and back."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import qcore
from qcore.adapters.jax import QuantizedArray, dequantize, nbytes, quantize_params

PER_ROW = qcore.QuantSpec("int8", qcore.PerChannel(0))


def made(seed, *shape):
    return np.random.default_rng(seed).normal(0.1, 1, shape).astype(np.float32)


@pytest.fixture
def params():
    return {"layers": [{"kernel": made(0, 9, 13), "bias": made(1, 13)}]}


@pytest.mark.parametrize(
    "spec",
    [
        PER_ROW,
        qcore.QuantSpec("int4", qcore.PerChannel(-1)),
        qcore.QuantSpec("uint3", symmetric=False),
        qcore.QuantSpec("int6", qcore.PerBlock(0, 4)),
        qcore.QuantSpec("int12"),
        qcore.QuantSpec("float8_e4m3fn", qcore.PerChannel((0, 1))),
        qcore.QuantSpec("float6_e2m3fn"),
        qcore.block_spec("mxfp4"),
        qcore.block_spec("nvfp4"),
        qcore.block_spec("mxint8"),
    ],
    ids=lambda spec: spec.format.name,
)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_what_codes_stand_for_is_what_fake_quantization_gives(spec, dtype):
    x = jnp.asarray(made(0, 6, 35), dtype)
    small = jax.jit(quantize_params, static_argnums=1)({"w": x}, spec)
    found = jax.jit(dequantize)(small)["w"]
    expected = qcore.fake_quantize(x, qcore.qparams_from_data(x, spec))
    assert found.dtype == x.dtype
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("format", ["int8", "int4"])
@pytest.mark.parametrize("shape", [(0, 5), (5, 0)])
def test_leaves_without_elements_come_back(shape, format):
    small = quantize_params({"w": made(0, *shape)}, qcore.QuantSpec(format))
    assert dequantize(small)["w"].shape == shape


def test_the_structure_stays_and_other_leaves_too(params):
    small = quantize_params(params, PER_ROW)
    assert small["layers"][0]["bias"] is params["layers"][0]["bias"]
    kernel = small["layers"][0]["kernel"]
    assert isinstance(kernel, QuantizedArray)
    assert (kernel.shape, kernel.ndim, kernel.size) == ((9, 13), 2, 117)
    assert jax.tree.structure(dequantize(small)) == jax.tree.structure(params)


def test_four_bits_are_packed_by_rows_two_to_a_byte_the_first_in_the_low_half():
    x = np.asarray([[1, -2, 3], [-7, 6, 5]], np.float32)
    given = qcore.QParams(jnp.ones(()), jnp.zeros((), int), qcore.QuantSpec("int4"))
    small = quantize_params({"w": x}, {"w": given})["w"]
    np.testing.assert_array_equal(small.codes, [[0xE1, 0x03], [0x69, 0x05]])


def test_the_size_counts_codes_scales_and_what_is_not_quantized(params):
    assert nbytes(params) == 4 * (9 * 13 + 13)
    assert nbytes(quantize_params(params, PER_ROW)) == 9 * 13 + 4 * 9 + 4 * 13
    int4 = qcore.QuantSpec("int4", qcore.PerChannel(1))
    assert nbytes(quantize_params(params, int4)) == 9 * 7 + 4 * 13 + 4 * 13
    mx = {"*kernel": qcore.block_spec("mxfp4")}
    assert nbytes(quantize_params(params, mx)) == 9 * 7 + 9 + 4 * 13
    shapes = jax.eval_shape(lambda p: quantize_params(p, mx), params)
    assert nbytes(shapes) == 9 * 7 + 9 + 4 * 13


def test_names_come_before_patterns_and_these_in_order(params):
    rules = {
        "*": qcore.QuantSpec("int4"),
        "layers/0/bias": qcore.QuantSpec("int8"),
        "*/kernel": qcore.QuantSpec("int2"),
    }
    layer = quantize_params(params, rules)["layers"][0]
    assert layer["bias"].spec.format.name == "int8"
    assert layer["kernel"].spec.format.name == "int4"


def test_a_loop_can_scan_over_layers_with_scales_of_their_own():
    stacked = made(0, 3, 4, 5)
    spec = qcore.QuantSpec("int4", qcore.PerChannel((0, 2)))
    small = quantize_params(stacked, spec)
    _, rows = jax.lax.scan(lambda _, w: (None, w.dequantize()), None, small)
    np.testing.assert_array_equal(rows, dequantize(small))


def test_it_can_be_differentiated_around_and_mapped_over(params):
    small = quantize_params(params, {"*kernel": PER_ROW})

    def f(bias, small, x):
        weights = dequantize(small)["layers"][0]["kernel"]
        return (jnp.tanh(x @ weights) + bias).sum()

    x = made(2, 4, 9)
    gradient = jax.vmap(jax.grad(f), (None, None, 0))(jnp.zeros(13), small, x)
    np.testing.assert_array_equal(gradient, np.ones((4, 13)))


SHAPE = r"f32\[256,384\]"
"""Of the floating-point weights."""


def entry(f, *args):
    """Return the instructions of a compiled program, but not those in its fusions."""
    text = jax.jit(f).lower(*args).compile().as_text()
    return text[text.index("\nENTRY") :].splitlines()


@pytest.mark.parametrize("format", ["int8", "int4", "float8_e4m3fn"])
def test_rows_that_are_looked_up_are_decoded_alone(format):
    spec = qcore.QuantSpec(format, qcore.PerChannel(1))
    small = quantize_params(made(0, 256, 384), spec)
    lines = entry(lambda small, i: dequantize(small)[i], small, np.arange(7))
    assert not any(re.search(SHAPE, line) for line in lines)


@pytest.mark.parametrize("format", ["int8", "int4", "float8_e4m3fn"])
def test_a_matrix_product_reads_weights_from_one_fusion_of_the_codes(format):
    spec = qcore.QuantSpec(format, qcore.PerChannel(1))
    small = quantize_params(made(0, 256, 384), spec)
    x = made(1, 64, 256)
    lines = entry(lambda small, x: x @ dequantize(small), small, x)
    # On CPUs products and sums are those of a library, which reads from memory.
    (made_here,) = (line for line in lines if re.search(f"= {SHAPE}", line))
    assert " fusion(" in made_here
    assert "codes" in "".join(line for line in lines if "parameter(" in line)
    others = "".join(line for line in lines if line != made_here)
    assert not re.search(r"= [sf]\d+\[256,384\]\S* (?!parameter)", others)


def test_a_name_that_matches_nothing_is_told_with_the_nearest(params):
    with pytest.raises(ValueError, match="did you mean 'layers/0/kernel'"):
        quantize_params(params, {"layers/0/kernl": PER_ROW})


@pytest.mark.parametrize("pattern", ["a/b", "a*"])
def test_a_name_of_two_leaves_is_refused(pattern):
    params = {"a/b": made(0, 2, 2), "a": {"b": made(1, 2, 2)}, "c": made(2, 2, 2)}
    with pytest.raises(ValueError, match="own; got 2 of the name 'a/b'"):
        quantize_params(params, {pattern: PER_ROW})
    assert isinstance(quantize_params(params, {"c": PER_ROW})["c"], QuantizedArray)


def test_scales_that_do_not_fit_are_named_with_their_leaf(params):
    scale = qcore.QParams(jnp.ones((8, 1)), jnp.zeros((8, 1), int), PER_ROW)
    with pytest.raises(ValueError, match=r"layers/0/kernel: .*\(9, 1\)"):
        quantize_params(params, {"*kernel": scale})


def test_what_is_not_floating_point_is_named():
    with pytest.raises(TypeError, match="step must be a floating-point array"):
        quantize_params({"step": jnp.arange(3)}, {"step": PER_ROW})


def test_what_is_quantized_already_is_named(params):
    small = quantize_params(params, PER_ROW)
    with pytest.raises(TypeError, match=r"layers/0/kernel .*quantized already"):
        quantize_params(small, {"*kernel": PER_ROW})


def test_weights_that_are_not_finite_are_named(params):
    params["layers"][0]["kernel"][0, 0] = np.nan
    with pytest.raises(qcore.NonFiniteError, match="layers/0/kernel"):
        quantize_params(params, PER_ROW)


def test_what_are_no_rules_is_told():
    with pytest.raises(TypeError, match="got str"):
        quantize_params({"w": made(0, 2, 2)}, "int8")
