"""Products on codes are those of integers, whatever the layout, padding and groups."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import qcore
from qcore.adapters.jax import fake_quant, quantized_dots

ASYMMETRIC = qcore.QuantSpec("int8", symmetric=False)
CONV = "conv_general_dilated"


def made(seed, *shape):
    return np.random.default_rng(seed).normal(0.3, 1, shape).astype(np.float32)


def qparams(x, spec):
    found = qcore.qparams_from_data(x, spec)
    return qcore.QParams(
        jnp.asarray(found.scale), jnp.asarray(found.zero_point), found.spec
    )


def steps(x, given):
    """Return codes less zero points, int64."""
    fmt, scale = given.spec.format, np.asarray(given.scale)
    zero_point = np.asarray(given.zero_point)
    codes = np.clip(np.rint(x / scale) + zero_point, fmt.qmin, fmt.qmax)
    return codes.astype(np.int64) - zero_point


def product(weight, x):
    return x @ weight


def computed(f, lhs, rhs, given, **options):
    """Return `f` of two operands that are quantized as given."""
    return fake_quant(f, None, given, **options)(rhs, lhs)


def case(name, lhs, rhs, specs):
    sides = {"lhs": lhs, "rhs": rhs}
    return {
        f"{name}:0.{side}": qparams(x, spec)
        for (side, x), spec in zip(sides.items(), specs, strict=True)
    }


def per_axis(axis, format="int8", **options):
    return qcore.QuantSpec(format, qcore.PerChannel(axis), **options)


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


def convolved(x, weight, strides, padding, spread=(1, 1), gaps=(1, 1), groups=1):
    """Return a convolution of integers, NCHW and OIHW."""
    n, channels, *size = x.shape
    wide = [gap * (extent - 1) + 1 for gap, extent in zip(gaps, size, strict=True)]
    (top, bottom), (left, right) = padding
    padded = np.zeros(
        (n, channels, top + wide[0] + bottom, left + wide[1] + right), np.int64
    )
    padded[:, :, top : top + wide[0] : gaps[0], left : left + wide[1] : gaps[1]] = x
    outputs, depth, *window = weight.shape
    reach = [s * (k - 1) + 1 for s, k in zip(spread, window, strict=True)]
    rows, columns = (
        (extent - r) // stride + 1
        for extent, r, stride in zip(padded.shape[2:], reach, strides, strict=True)
    )
    found = np.zeros((n, outputs, rows, columns), np.int64)
    each = outputs // groups
    for o in range(outputs):
        first = o // each * depth
        for i, j in np.ndindex(*window):
            part = padded[:, first : first + depth, i * spread[0] :, j * spread[1] :]
            part = part[:, :, :: strides[0], :: strides[1]][:, :, :rows, :columns]
            found[:, o] += np.einsum("nchw,c->nhw", part, weight[o, :, i, j])
    return found


CONVOLUTIONS = {
    "plain": {},
    "strided and padded": {"strides": (2, 1), "padding": ((1, 2), (0, 1))},
    "grouped": {"groups": 2, "padding": ((1, 1), (1, 1))},
    "depthwise": {"groups": 4, "padding": ((1, 1), (1, 1))},
    "spread": {"spread": (2, 1), "padding": ((2, 2), (1, 1))},
    "transposed": {"gaps": (2, 2), "padding": ((1, 1), (2, 1))},
}


@pytest.mark.parametrize("form", CONVOLUTIONS.values(), ids=CONVOLUTIONS)
@pytest.mark.parametrize(
    ("symmetric", "quantized_dot"), [(True, True), (False, True), (False, "int8")]
)
def test_a_convolution_is_that_of_integers(form, symmetric, quantized_dot):
    groups = form.get("groups", 1)
    x, weight = made(0, 2, 4, 6, 7), made(1, 8, 4 // groups, 3, 3)
    options = {"strides": (1, 1), "padding": ((0, 0), (0, 0)), **form}

    def f(weight, x):
        return jax.lax.conv_general_dilated(
            x,
            weight,
            options["strides"],
            options["padding"],
            options.get("gaps"),
            options.get("spread"),
            feature_group_count=groups,
        )

    specs = qcore.QuantSpec("uint8", symmetric=False), per_axis(0, symmetric=symmetric)
    given = case(CONV, x, weight, specs)
    of_x, of_weight = given.values()
    total = convolved(steps(x, of_x), steps(weight, of_weight), **options)
    scale = np.asarray(of_x.scale) * np.asarray(of_weight.scale)
    expected = total.astype(np.float32) * scale.reshape(1, -1, 1, 1)
    found = computed(jax.jit(f), x, weight, given, quantized_dot=quantized_dot)
    np.testing.assert_array_equal(found, expected)


def test_many_channels_add_up_to_more_than_float32_holds():
    x = np.full((1, 3000, 2, 2), 1, np.float32)
    x[:, 0] = 0.5
    weight = np.ones((2, 3000, 1, 1), np.float32)
    weight[:, 1] = 0.3
    given = case(CONV, x, weight, (qcore.QuantSpec("uint8"), per_axis(0)))

    def f(weight, x):
        return jax.lax.conv(x, weight, (1, 1), "VALID")

    of_x, of_weight = given.values()
    total = convolved(steps(x, of_x), steps(weight, of_weight), (1, 1), ((0, 0),) * 2)
    assert total.max() > 2**24
    scale = np.asarray(of_x.scale) * np.asarray(of_weight.scale)
    found = computed(f, x, weight, given, quantized_dot=True)
    expected = total.astype(np.float32) * scale.reshape(1, -1, 1, 1)
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


def test_batches_can_be_mapped_over():
    x, weight = made(0, 5, 2, 3, 6, 6), made(1, 4, 3, 3, 3)
    given = case(CONV, x[0], weight, (ASYMMETRIC, per_axis(0)))

    def f(weight, x):
        return jax.lax.conv(x, weight, (1, 1), "SAME")

    def run(weight, x):
        return computed(f, x, weight, given, quantized_dot=True)

    found = jax.vmap(run, (None, 0))(weight, x)
    for row, expected in zip(found, x, strict=True):
        np.testing.assert_array_equal(row, run(weight, expected))


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


def listed(f, *args, rhs, lhs=None):
    rules = {"weight": rhs, "activation": lhs or {"format": "int8", "dynamic": True}}
    return quantized_dots(f, rules)(*args)


def test_products_are_listed_with_what_keeps_them_from_integers():
    x = jax.ShapeDtypeStruct((6, 64), jnp.float32)
    weight = jax.ShapeDtypeStruct((64, 64), jnp.float32)
    reasons = [
        ({"format": "int8", "axis": "output"}, None),
        ({"format": "float8_e4m3fn"}, "rhs is float8_e4m3fn"),
        ({"format": "int16"}, "rhs is int16"),
        ({"format": "int8", "axis": 0}, "along an axis that is summed"),
        ({"format": "int8", "block_size": 32}, "rhs has scales of blocks"),
        (None, "rhs is not quantized"),
    ]
    for rule, reason in reasons:
        found = listed(product, weight, x, rhs=rule)["dot_general:0"]
        assert found is None if reason is None else reason in found


def test_sums_that_could_overflow_are_left_in_floats():
    specs = {"rhs": {"format": "int8"}, "lhs": {"format": "uint8", "dynamic": True}}
    for terms, fits in (
        (2**31 // (255 * 128), True),
        (2**31 // (255 * 128) + 1, False),
    ):
        x = jax.ShapeDtypeStruct((1, terms), jnp.float32)
        weight = jax.ShapeDtypeStruct((terms, 1), jnp.float32)
        found = listed(product, weight, x, **specs)["dot_general:0"]
        assert (found is None) == fits


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

        return jax.grad(total, argnums=(0, 1, 2), allow_int=True)(weight, x, given)

    found, expected = map(jax.tree.leaves, map(gradients, (mapped, product)))
    for a, b in zip(found, expected, strict=True):
        if a.dtype != jax.dtypes.float0:
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)
