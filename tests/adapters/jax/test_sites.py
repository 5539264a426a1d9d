"""Which operands are sites, what they are called and what is known of them."""

from functools import partial

import jax
import jax.numpy as jnp
import pytest

import qcore
from qcore.adapters.jax import fake_quant, sites
from tests.adapters.jax import programs
from tests.adapters.jax.programs import W, X, made

DYNAMIC = [{"activation": {"dynamic": True}}]


def names(f, *args, weights=None):
    return [site.name for site in sites(f, weights=weights)(*args)]


def test_products_of_integers_and_complex_numbers_have_no_sites():
    assert names(programs.others, X) == []


def test_products_of_floats_of_8_bits_have_no_sites():
    small = X.astype(jnp.float8_e4m3fn)
    assert names(lambda x: jax.lax.dot(x, x.T), small) == []


def test_an_operand_beside_integers_is_a_site():
    def f(x, codes):
        return jax.lax.dot_general(
            x, codes, (((1,), (0,)), ((), ())), preferred_element_type=jnp.float32
        )

    assert names(f, X, W.astype(jnp.int8)) == ["dot_general:0.lhs"]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_products_of_floats_have_sites_and_keep_their_dtype(dtype):
    x = X.astype(dtype)
    f = lambda x: x @ x.T  # noqa: E731
    assert names(f, x) == ["dot_general:0.lhs", "dot_general:0.rhs"]
    assert fake_quant(f, DYNAMIC)(x).dtype == dtype


def test_a_name_is_that_of_the_scopes_of_all_calls_around():
    @jax.named_scope("model")
    def f(x):
        with jax.named_scope("layer"):
            inner = jax.named_scope("attention")(lambda x: x @ W)
            x, _ = jax.lax.scan(lambda x, _: (inner(x), None), x, None, 2)
            return jax.jit(inner)(x) @ W

    assert names(f, X)[::2] == [
        "model/layer/attention/dot_general:0.lhs",
        "model/layer/attention/dot_general:1.lhs",
        "model/layer/dot_general:0.lhs",
    ]


def test_products_of_a_gradient_inside_say_so():
    def f(x):
        with jax.named_scope("layer"):
            return jax.grad(lambda x: jnp.sin(x @ W).sum())(x)

    forward, backward = (name for name in names(f, X) if name.endswith("lhs"))
    assert forward == "layer/jvp()/dot_general:0.lhs"
    assert backward == "layer/transpose(jvp())/dot_general:0.lhs"
    only = [{"site": "*transpose*", "skip": True}, *DYNAMIC]
    assert fake_quant(f, only)(X).shape == X.shape


def test_the_condition_of_a_loop_has_sites():
    assert names(programs.condition, X) == ["dot_general:0.lhs", "dot_general:0.rhs"]


LAYOUTS = {
    "transposed": lambda w: w.T,
    "cast": lambda w: w.astype(jnp.bfloat16).astype(jnp.float32),
    "layer": lambda w: jnp.stack([w, w])[1],
    "joined": lambda w: jnp.concatenate([w, w], 1)[:, :4],
    "split": lambda w: jnp.split(w, [4], 1)[0],
    "padded": lambda w: jnp.pad(w, 1)[1:5, 1:5],
    "compiled": jax.jit(lambda w: w.reshape(2, 2, 4).reshape(4, 4)),
    "rows": lambda w: w[jnp.asarray([3, 1, 0, 2])],
}


@pytest.mark.parametrize("change", LAYOUTS.values(), ids=LAYOUTS)
def test_weights_laid_out_anew_are_weights(change):
    lhs, rhs = sites(lambda w, x: x @ change(w))(W, X)
    assert (lhs.is_weight, rhs.is_weight) == (False, True)


def test_weights_of_each_layer_are_weights_in_every_kind_of_loop():
    stacked = jnp.stack([W, W])

    def scanned(w, x):
        return jax.lax.scan(lambda x, w: (x @ w, None), x, w)[0]

    def counted(w, x):
        return jax.lax.fori_loop(0, 2, lambda i, x: x @ w[i], x)

    def until(w, x):
        return jax.lax.while_loop(lambda x: (x @ w[0]).sum() < 3, lambda x: x @ w[1], x)

    for f in (scanned, counted, until):
        found = {site.name[-3:]: site.is_weight for site in sites(f)(stacked, X)}
        assert found == {"lhs": False, "rhs": True}


def test_embedded_words_are_no_weights():
    def f(params, words):
        return params["table"][words] @ params["out"]

    lhs, rhs = sites(f)({"table": W, "out": W}, jnp.asarray([2, 0]))
    assert (lhs.is_weight, rhs.is_weight) == (False, True)


def test_what_data_made_of_weights_is_no_weight():
    lhs, rhs = sites(lambda w, x: x @ (w * x.sum()))(W, X)
    assert (lhs.is_weight, rhs.is_weight) == (False, False)


NHWC = partial(
    jax.lax.conv_general_dilated,
    window_strides=(1, 1),
    padding="SAME",
    dimension_numbers=("NHWC", "HWIO", "NHWC"),
)

CONVOLUTIONS = {
    "plain": (NHWC, (3, 3, 4, 6), 3),
    "depthwise": (partial(NHWC, feature_group_count=4), (3, 3, 1, 8), 3),
    "of batch groups": (partial(NHWC, batch_group_count=2), (3, 3, 4, 6), 3),
    "transposed": (
        lambda x, w: jax.lax.conv_transpose(x, w, (2, 2), "SAME"),
        (3, 3, 4, 6),
        3,
    ),
    "gradient of one": (
        lambda x, w: jax.lax.conv_transpose(
            x, w, (2, 2), "SAME", transpose_kernel=True
        ),
        (3, 3, 6, 4),
        2,
    ),
}


@pytest.mark.parametrize(
    ("f", "shape", "axis"), CONVOLUTIONS.values(), ids=CONVOLUTIONS
)
def test_the_output_axis_of_weights_has_the_channels_of_the_result(f, shape, axis):
    pictures, kernel = made(0, 2, 5, 5, 4), made(1, *shape)
    _, rhs = sites(lambda w, x: f(x, w))(kernel, pictures)
    assert rhs.is_weight
    found = {rhs.shape[axis] for axis in rhs.output_axes}
    assert found == {shape[axis]} == {f(pictures, kernel).shape[-1]}


def test_channels_of_a_transposed_convolution_have_their_own_scales():
    """Each channel of the result is that of its own kernel, rounded by itself."""
    pictures, kernel = made(0, 2, 5, 5, 4), made(1, 3, 3, 4, 6)
    f = lambda w, x: jax.lax.conv_transpose(x, w, (2, 2), "SAME")  # noqa: E731
    rule = [{"weight": {"format": "int4", "axis": "output"}}]
    found = fake_quant(f, rule)(kernel, pictures)
    scale = jnp.abs(kernel).max((0, 1, 2)) / 7
    expected = f(jnp.round(kernel / scale) * scale, pictures)
    assert jnp.allclose(found, expected, atol=1e-5)


@jax.custom_batching.custom_vmap
def opaque(x):
    return x @ W


opaque.def_vmap(lambda _, held, x: (opaque(x), held[0]))


def test_a_site_where_it_cannot_be_quantized_is_named():
    def f(x):
        with jax.named_scope("layer"):
            return jax.jit(opaque)(x) @ W

    message = r"must not be .*; got layer/dot_general:0\.lhs in custom_vmap_call"
    with pytest.raises(qcore.QuantError, match=message):
        fake_quant(f, DYNAMIC)(X)
    skipped = [{"site": "*:0.*", "skip": True}, *DYNAMIC]
    assert fake_quant(f, skipped)(X).shape == X.shape


def test_a_rule_finds_a_name_with_brackets():
    def f(x):
        with jax.named_scope("layers[0]"):
            return x @ x.T

    rule = {"site": "layers[0]/dot_general:0.lhs", "activation": {"dynamic": True}}
    spec = qcore.QuantSpec("int8")
    rule["activation"]["symmetric"] = True
    found = fake_quant(f, rule)(X)
    rounded = qcore.fake_quantize(X, qcore.qparams_from_data(X, spec))
    assert jnp.array_equal(found, rounded @ X.T)
