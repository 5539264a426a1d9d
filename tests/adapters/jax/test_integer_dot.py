"""Matrix products on codes are those of integers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import qcore
from qcore.adapters.jax import fake_quant
from tests.adapters.jax.integers import (
    ASYMMETRIC,
    case,
    computed,
    made,
    per_axis,
    product,
    steps,
)


@pytest.mark.parametrize(
    "specs",
    [
        (ASYMMETRIC, per_axis(1)),
        (qcore.QuantSpec("uint8", symmetric=False), per_axis(1, symmetric=False)),
        (per_axis(0, symmetric=False), qcore.QuantSpec("uint8", symmetric=False)),
        (qcore.QuantSpec("uint4"), per_axis(1, "int4")),
        (qcore.QuantSpec("int8"), qcore.QuantSpec("int2")),
    ],
    ids=["asymmetric", "both", "rows", "narrow", "symmetric"],
)
@pytest.mark.parametrize("compile", [lambda f: f, jax.jit])
def test_a_matrix_product_is_that_of_integers(specs, compile):
    x, weight = made(0, 6, 50), made(1, 50, 7)
    given = case("dot_general", x, weight, specs)
    found = computed(compile(product), x, weight, given, quantized_dot=True)
    of_x, of_weight = given.values()
    total = steps(x, of_x) @ steps(weight, of_weight)
    scale = np.asarray(of_x.scale) * np.asarray(of_weight.scale)
    np.testing.assert_array_equal(found, total.astype(np.float32) * scale)


def test_batches_of_a_product_may_have_their_own_scales():
    x, weight = made(0, 3, 4, 10), made(1, 3, 10, 5)
    specs = per_axis((0, 1), symmetric=False), per_axis((0, 2), symmetric=False)
    given = case("dot_general", x, weight, specs)

    def f(weight, x):
        return jax.lax.dot_general(x, weight, (((2,), (1,)), ((0,), (0,))))

    found = computed(f, x, weight, given, quantized_dot=True)
    of_x, of_weight = given.values()
    total = np.matmul(steps(x, of_x), steps(weight, of_weight)).astype(np.float32)
    expected = total * (np.asarray(of_x.scale) * np.asarray(of_weight.scale))
    np.testing.assert_array_equal(found, expected)


def test_it_is_within_the_rounding_of_the_fake_quantized_product():
    x, weight = made(0, 6, 500), made(1, 500, 7)
    given = case("dot_general", x, weight, (ASYMMETRIC, per_axis(1)))
    integer = computed(product, x, weight, given, quantized_dot=True)
    fake = computed(product, x, weight, given)
    a, b = (
        np.abs(np.asarray(qcore.fake_quantize(jnp.asarray(x), q), np.float64))
        for x, q in zip((x, weight), given.values(), strict=True)
    )
    assert np.all(np.abs(np.float64(integer) - fake) <= 500 * 2.0**-24 * (a @ b))


def test_the_gradient_is_that_of_fake_quantization():
    x, weight = made(0, 6, 50), made(1, 50, 7)
    given = case("dot_general", x, weight, (ASYMMETRIC, per_axis(1)))
    x = 1.2 * x  # some saturate

    def gradients(**options):
        def total(weight, x):
            return computed(product, x, weight, given, **options).sum()

        return jax.jit(jax.grad(total, argnums=(0, 1)))(weight, x)

    for a, b in zip(gradients(quantized_dot=True), gradients(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert (gradients()[1] == 0).any()


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_the_result_has_the_dtype_of_the_function(dtype):
    x, weight = jnp.asarray(made(0, 6, 50), dtype), jnp.asarray(made(1, 50, 7), dtype)
    given = case("dot_general", np.float32(x), np.float32(weight), (ASYMMETRIC,) * 2)
    found = computed(product, x, weight, given, quantized_dot=True)
    of_x, of_weight = given.values()
    total = steps(np.float32(x), of_x) @ steps(np.float32(weight), of_weight)
    expected = total.astype(np.float32) * np.asarray(of_x.scale * of_weight.scale)
    np.testing.assert_array_equal(found, jnp.asarray(expected, dtype))


def test_operands_are_integers_in_the_program():
    x, weight = made(0, 6, 50), made(1, 50, 7)
    given = case("dot_general", x, weight, (ASYMMETRIC, per_axis(1)))

    def run(weight, x):
        return computed(product, x, weight, given, quantized_dot=True)

    text = jax.jit(run).lower(weight, x).as_text()
    (line,) = (line for line in text.splitlines() if "dot_general" in line)
    assert "(tensor<6x50xi8>, tensor<50x7xi8>) -> tensor<6x7xi32>" in line


def test_what_is_not_eligible_stays_fake_quantized():
    x, weight = made(0, 6, 50), made(1, 50, 7)
    specs = (ASYMMETRIC, qcore.QuantSpec("float8_e4m3fn", qcore.PerChannel(1)))
    given = case("dot_general", x, weight, specs)
    found = computed(product, x, weight, given, quantized_dot=True)
    np.testing.assert_array_equal(found, computed(product, x, weight, given))


def test_another_way_to_compute_is_told():
    with pytest.raises(ValueError, match="got 'int4'"):
        fake_quant(product, quantized_dot="int4")


@pytest.mark.parametrize("quantized_dot", [False, True])
def test_devices_of_a_map_share_the_gradient_of_scales(quantized_dot):
    mesh = jax.make_mesh((1,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    every, rows = jax.sharding.PartitionSpec(), jax.sharding.PartitionSpec("data")
    mapped = jax.shard_map(product, mesh=mesh, in_specs=(every, rows), out_specs=rows)
    x, weight = made(0, 6, 50), made(1, 50, 7)
    given = case("dot_general", x, weight, (ASYMMETRIC, per_axis(1)))

    def gradients(f):
        def total(weight, x, given):
            return computed(f, x, weight, given, quantized_dot=quantized_dot).sum()

        run = jax.jit(jax.grad(total, argnums=(0, 1, 2), allow_int=True))
        return run(weight, x, given)

    found, expected = map(jax.tree.leaves, map(gradients, (mapped, product)))
    for a, b in zip(found, expected, strict=True):
        if a.dtype != jax.dtypes.float0:
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)
