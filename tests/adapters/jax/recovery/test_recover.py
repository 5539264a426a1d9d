"""Functions whose weights are rounded for their output, and their biases corrected."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qcore import (
    NoDataError,
    NonFiniteError,
    QuantError,
    QuantSpec,
    qparams_from_amax,
    qparams_from_range,
)
from qcore.adapters.jax import (
    Config,
    calibrate,
    collect,
    dequantize,
    fake_quant,
    quantize_params,
    recover,
    sites,
    weight_qparams,
)

COARSE = {
    "weight": {"format": "int3", "axis": "output"},
    "activation": {"format": "int8", "symmetric": False},
}
WEIGHTS = {"weight": COARSE["weight"]}
NHWC = ("NHWC", "HWIO", "NHWC")


def made(seed, *shape):
    return np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)


def data(*shape, calls=3):
    """Inputs that have much in common, and a mean."""
    mix = made(7, shape[-1], shape[-1])
    return [jnp.asarray(np.maximum(made(i, *shape) @ mix, 0)) for i in range(calls)]


def convolution(layout, rank=2, **options):
    def f(p, x):
        options.setdefault("window_strides", (1,) * rank)
        options.setdefault("padding", "SAME")
        y = jax.lax.conv_general_dilated(x, p["w"], dimension_numbers=layout, **options)
        return y + p["b"]

    return f


def moved(p, x):
    """Channels first, and ``OIHW``."""
    layout = ("NCHW", "OIHW", "NCHW")
    x = jnp.transpose(x, (0, 3, 1, 2))
    y = jax.lax.conv_general_dilated(
        x, p["w"], (1, 2), ((1, 0), (-1, 2)), dimension_numbers=layout
    )
    return jnp.transpose(y + p["b"][:, None, None], (0, 2, 3, 1))


def halves(p, x):
    first, second = jnp.split(p["w"], 2, 1)
    return jnp.concatenate([x @ first + p["b"][:3], x @ second + p["b"][3:]], -1)


def transposed(p, x):
    return jax.lax.conv_transpose(x, p["w"], (2, 2), "SAME") + p["b"]


CASES = {
    "dense": (lambda p, x: x @ p["w"] + p["b"], (8, 6), (6,), (40, 8)),
    "transposed": (lambda p, x: x @ p["w"].T + p["b"], (6, 8), (6,), (40, 8)),
    "weight first": (
        lambda p, x: jnp.swapaxes(p["w"] @ x.T + p["b"][:, None], 0, 1),
        *((6, 8), (6,), (40, 8)),
    ),
    "heads": (
        lambda p, x: jnp.einsum("bd,dhe->bhe", x, p["w"]) + p["b"],
        *((8, 3, 2), (3, 2), (40, 8)),
    ),
    "compiled": (
        jax.jit(jax.checkpoint(lambda p, x: x @ p["w"] + p["b"])),
        *((8, 6), (6,), (40, 8)),
    ),
    "halves": (halves, (8, 6), (6,), (40, 8)),
    "convolution": (convolution(NHWC), (3, 3, 4, 6), (6,), (3, 7, 6, 4)),
    "strided": (
        convolution(NHWC, window_strides=(2, 1), rhs_dilation=(1, 2)),
        *((3, 2, 4, 6), (6,), (3, 7, 9, 4)),
    ),
    "channels first": (moved, (6, 4, 3, 3), (6,), (3, 7, 9, 4)),
    "groups": (
        convolution(NHWC, feature_group_count=2),
        *((3, 3, 2, 6), (6,), (3, 7, 6, 4)),
    ),
    "depthwise": (
        convolution(NHWC, feature_group_count=4),
        *((3, 3, 1, 8), (8,), (3, 7, 6, 4)),
    ),
    "along a line": (
        convolution(("NWC", "WIO", "NWC"), 1),
        *((3, 4, 6), (6,), (5, 12, 4)),
    ),
    "in space": (
        convolution(("NDHWC", "DHWIO", "NDHWC"), 3),
        *((2, 2, 2, 3, 4), (4,), (2, 4, 5, 3, 3)),
    ),
    "spread": (transposed, (3, 3, 4, 6), (6,), (3, 5, 4, 4)),
}


def errors(f, params, qparams, calls, config=COARSE):
    """Return what each output of `f` loses, ``[N, outputs]``."""
    quantized = fake_quant(f, config, qparams)
    change = [
        np.asarray(quantized(params[1], x), np.float64) - f(params[0], x) for x in calls
    ]
    return np.concatenate([x.reshape(-1, x.shape[-1]) for x in change])


def ranged(calls, name):
    """Return the qparams of data that reaches a site as it is."""
    ends = [jnp.stack([end(x) for x in calls]) for end in (jnp.min, jnp.max)]
    spec = QuantSpec("int8", symmetric=False)
    return {name: qparams_from_range(ends[0].min(), ends[1].max(), spec)}


def calibrated(f, params, calls, config=COARSE):
    statistics = None
    for x in calls:
        _, statistics = collect(f, config)(statistics, params, x)
    return calibrate(f, config, statistics)(params, calls[0])


@pytest.mark.parametrize(("f", "w", "b", "x"), CASES.values(), ids=CASES)
def test_outputs_keep_their_means_and_vary_less(f, w, b, x):
    params, calls = {"w": made(10, *w), "b": made(11, *b)}, data(*x)
    names = [one.name for one in sites(f)(params, calls[0]) if not one.is_weight]
    qparams = {}
    for name in names:
        qparams |= ranged(calls, name)
    before = errors(f, (params, params), qparams, calls)
    found = recover(f, COARSE, qparams)(params, calls)
    after = errors(f, (params, found.params), found.qparams, calls)
    assert found.left == {}
    np.testing.assert_allclose(after.mean(0), 0, atol=2e-5)
    assert (after.var(0) <= before.var(0) * 1.01).all()
    assert after.var() < before.var()


def test_biases_of_tokens_leave_what_the_inputs_err():
    def f(p, x):
        return jnp.einsum("btd,dhe->bthe", x, p["w"]) + p["b"]

    params, calls = {"w": made(0, 8, 3, 2), "b": made(1, 3, 2)}, data(5, 9, 8)
    spec = QuantSpec("int8")
    # The largest tokens saturate.
    one = qparams_from_amax(jnp.float32(3.0), spec)
    found = recover(f, COARSE, {"btd,dhe->bthe/dot_general:0.lhs": one})(params, calls)
    x = np.concatenate(calls).reshape(-1, 8).astype(np.float64)
    lost = np.clip(np.round(x / (3 / 127)), -128, 127) * (3 / 127) - x
    after = errors(f, (params, found.params), found.qparams, calls).reshape(-1, 6)
    expected = (lost @ params["w"].reshape(8, 6)).mean(0)
    np.testing.assert_allclose(after.mean(0), expected, atol=1e-4)
    assert np.abs(expected).max() > 0.1


def layers(p, x):
    x = jax.nn.relu(x @ p["in"]["w"] + p["in"]["b"])
    x = jax.nn.relu(x @ p["middle"]["w"])
    return x @ p["out"]["w"] + p["out"]["b"]


@pytest.fixture(scope="module")
def params():
    return {
        "in": {"w": made(0, 8, 24), "b": made(1, 24)},
        "middle": {"w": made(2, 24, 16)},
        "out": {"w": made(3, 16, 5), "b": made(4, 5)},
    }


@pytest.fixture(scope="module")
def calls():
    return data(60, 8)


@pytest.fixture(scope="module")
def qparams(params, calls):
    return calibrated(layers, params, calls)


def test_layers_make_up_for_those_before_them(params, calls, qparams):
    before = errors(layers, (params, params), qparams, calls)
    found = recover(layers, COARSE, qparams)(params, calls)
    after = errors(layers, (params, found.params), found.qparams, calls)
    assert (after**2).mean() < 0.5 * (before**2).mean()
    np.testing.assert_allclose(after.mean(0), 0, atol=1e-4)
    assert list(found.left) == ["dot_general:1.rhs"]
    assert "no bias" in found.left["dot_general:1.rhs"]


def test_codes_stand_for_the_weights(params, calls, qparams):
    found = recover(layers, COARSE, qparams)(params, calls)
    scales = weight_qparams(layers, COARSE, found.qparams)(found.params, calls[0])
    held = dequantize(quantize_params(found.params, scales))
    for name in ("in", "middle", "out"):
        np.testing.assert_array_equal(held[name]["w"], found.params[name]["w"])


def test_weights_without_fixed_scales_get_some(params):
    rules = {**COARSE, "weight": {"format": "int4", "method": "minmax"}}
    calls = data(60, 8)
    qparams = calibrated(layers, params, calls, rules)
    assert "dot_general:0.rhs" not in qparams
    found = recover(layers, rules, qparams)(params, calls)
    largest = np.abs(params["in"]["w"]).max()
    scale = found.qparams["dot_general:0.rhs"].scale
    np.testing.assert_allclose(scale, largest / 7, rtol=1e-6)


def test_weights_alone_may_be_quantized(params):
    calls = data(60, 8)
    before = errors(layers, (params, params), None, calls, WEIGHTS)
    found = recover(layers, WEIGHTS)(params, calls)
    after = errors(layers, (params, found.params), found.qparams, calls, WEIGHTS)
    assert (after**2).mean() < 0.3 * (before**2).mean()


@pytest.mark.parametrize(
    ("weight", "activation"),
    [
        ({"format": "float4_e2m1fn", "axis": "output"}, {"format": "float8_e4m3fn"}),
        ({"format": "int4", "block_size": 4}, {"format": "int8", "dynamic": True}),
        ({"format": "uint4", "symmetric": False, "method": "mse"}, {"axis": -1}),
    ],
)
def test_formats_and_granularities_may_be_any(params, weight, activation):
    rules = {"weight": weight, "activation": activation}
    calls = data(60, 8)
    qparams = calibrated(layers, params, calls, rules)
    before = errors(layers, (params, params), qparams, calls, rules)
    found = recover(layers, rules, qparams)(params, calls)
    after = errors(layers, (params, found.params), found.qparams, calls, rules)
    assert (after**2).mean() < 0.7 * (before**2).mean()


def test_how_data_is_cut_into_calls_changes_no_weight():
    f, w, b, x = CASES["convolution"]
    params, (call,) = {"w": made(10, *w), "b": made(11, *b)}, data(*x, calls=1)
    qparams = ranged([call], "conv_general_dilated:0.lhs")
    whole, parts = (
        recover(f, COARSE, qparams)(params, calls).params
        for calls in ([call], [call[:2], call[2:]])
    )
    np.testing.assert_array_equal(whole["w"], parts["w"])
    np.testing.assert_allclose(whole["b"], parts["b"], rtol=1e-6)


def test_two_runs_give_the_same_and_leave_what_was_given(params, calls, qparams):
    kept = jax.tree.map(np.copy, params)
    first, second = (
        recover(layers, COARSE, qparams)(params, iter(calls)).params for _ in range(2)
    )
    jax.tree.map(np.testing.assert_array_equal, first, second)
    jax.tree.map(np.testing.assert_array_equal, kept, params)
    assert {type(leaf) for leaf in jax.tree.leaves(first)} == {np.ndarray}


def test_half_precision_stays():
    params = {"w": jnp.asarray(made(0, 8, 6), jnp.bfloat16), "b": jnp.zeros(6)}
    calls = [x.astype(jnp.bfloat16) for x in data(40, 8)]

    def f(p, x):
        return (x @ p["w"]).astype(jnp.float32) + p["b"]

    qparams = ranged(calls, "dot_general:0.lhs")
    found = recover(f, COARSE, qparams)(params, calls)
    assert found.params["w"].dtype == jnp.bfloat16
    before = errors(f, (params, params), qparams, calls)
    after = errors(f, (params, found.params), found.qparams, calls)
    assert (after**2).mean() < 0.9 * (before**2).mean()


def test_the_weights_may_be_any_argument():
    params, calls = {"w": made(0, 8, 6), "b": made(1, 6)}, data(40, 8)

    def f(x, model, scale):
        return (x @ model["w"] + model["b"]) * scale

    by_place, by_name = (
        recover(f, Config([WEIGHTS], weights))(params, [(x, 2.0) for x in calls])
        for weights in (1, "model")
    )
    jax.tree.map(np.testing.assert_array_equal, by_place.params, by_name.params)
    assert (by_place.params["w"] != params["w"]).any()


LEFT = {
    "loop": (
        lambda p, x: jax.lax.scan(
            lambda x, _: (x @ p["other"][0] / 4, None), x, length=3
        )[0],
        "inside of scan",
    ),
    "twice": (lambda p, x: x @ p["other"][0] @ p["other"][0], "several times"),
    "elsewhere": (
        lambda p, x: x @ p["other"][0] + p["other"][0].sum(),
        "several times",
    ),
    "constant": (lambda _, x: x @ jnp.asarray(made(5, 8, 8)), "constants"),
}


@pytest.mark.parametrize(("f", "reason"), LEFT.values(), ids=LEFT)
def test_what_cannot_be_rounded_stays_and_is_told(f, reason):
    params = {"w": made(0, 8, 6), "b": made(1, 6), "other": made(2, 3, 8, 8)}
    calls = data(40, 8)

    def g(p, x):
        return f(p, x) @ p["w"] + p["b"]

    rules = {**COARSE, "activation": {"dynamic": True}}
    found = recover(g, rules)(params, calls)
    np.testing.assert_array_equal(found.params["other"], params["other"])
    assert all(reason in why for why in found.left.values())
    assert found.left
    # The layer behind it makes up for it all the same.
    after = errors(g, (params, found.params), found.qparams, calls, rules)
    assert (np.abs(after.mean(0)) < 0.01 * after.std(0)).all()


def test_a_bias_of_several_outputs_stays():
    params, calls = {"w": made(0, 8, 6), "b": made(1, 1)}, data(40, 8)

    def f(p, x):
        return x @ p["w"] + p["b"]

    found = recover(f, WEIGHTS)(params, calls)
    np.testing.assert_array_equal(found.params["b"], params["b"])
    assert "no bias" in found.left["dot_general:0.rhs"]


REFUSED = {
    "no data": (lambda p, x: x @ p["w"], [], NoDataError, "at least one call"),
    "no weight": (lambda _, x: x * 2, [1.0], QuantError, "it has none"),
    "other": (
        lambda p, x: x @ p["w"] if len(x) > 3 else x @ p["w"] + 1,
        [made(0, 4, 8), made(0, 2, 8)],
        *(QuantError, "call 1 differs"),
    ),
    "left": (
        lambda p, x: x @ p["w"] @ p["w"],
        [made(0, 4, 8)],
        *(QuantError, "dot_general:0.rhs is used several times"),
    ),
    "NaN": (
        lambda p, x: x @ p["w"],
        [np.full((4, 8), np.nan, np.float32)],
        *(NonFiniteError, "dot_general:0.rhs"),
    ),
}


@pytest.mark.parametrize(("f", "calls", "kind", "said"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_recovered_is_refused(f, calls, kind, said):
    calls = [jnp.asarray(x) for x in calls]
    with pytest.raises(kind, match=said):
        recover(f, WEIGHTS)({"w": made(0, 8, 8)}, calls)


def test_no_part_of_a_compiled_function_is_recovered():
    with pytest.raises(QuantError, match="traced"):
        jax.jit(lambda p, x: recover(lambda p, x: x @ p, WEIGHTS)(p, [x]).params)(
            made(0, 8, 6), made(1, 4, 8)
        )


def test_several_arguments_of_weights_are_refused():
    with pytest.raises(QuantError, match="one argument"):
        recover(lambda p, q, x: x @ p @ q, Config([WEIGHTS], [0, 1]))


def test_layers_of_flax_are_recovered():
    nn = pytest.importorskip("flax.linen")

    class Network(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = nn.relu(nn.Conv(8, (3, 3))(x))
            x = nn.relu(nn.Conv(8, (3, 3), feature_group_count=8)(x))
            return nn.Dense(5)(x.mean((1, 2)))

    calls, model = data(16, 6, 6, 3), Network()
    params = model.init(jax.random.key(0), calls[0])
    rules = {**COARSE, "activation": {"dynamic": True}}

    def loses(found, qparams=None):
        quantized = fake_quant(model.apply, rules, qparams)
        change = [quantized(found, x) - model.apply(params, x) for x in calls]
        return float((jnp.stack(change) ** 2).mean())

    found = recover(model.apply, rules)(params, calls)
    assert found.left == {}
    assert loses(found.params, found.qparams) < 0.3 * loses(params)


def dense_layer(x, layer):
    return jax.nn.relu(x @ layer["w"] + layer["b"])


def scanned(p, x):
    return jax.lax.scan(lambda x, layer: (dense_layer(x, layer), None), x, p)[0]


def scanned_in_pairs(p, x):
    def pair(x, layers):
        return scanned(layers, x), x

    pairs = jax.tree.map(lambda leaf: leaf.reshape(2, 2, *leaf.shape[1:]), p)
    x, before = jax.jit(lambda p, x: jax.lax.scan(pair, x, p))(pairs, x)
    return x + before.mean(0) / 8


def scanned_backwards(p, x):
    half = jnp.float32(0.5)

    def body(x, layer):
        return jax.checkpoint(dense_layer)(x, layer) + half, x.mean()

    x, means = jax.lax.scan(body, x, p, reverse=True)
    return x * means[0]


INT4 = {
    "weight": {"format": "int4", "axis": "output"},
    "activation": {"dynamic": True},
}


def stacked():
    """Parameters of four layers, and calls."""
    params = {"w": made(0, 4, 8, 8) / 2, "b": made(1, 4, 8)}
    return params, [x + made(9, 40, 8) for x in data(40, 8, calls=2)]


@pytest.mark.parametrize("f", [scanned, scanned_in_pairs, scanned_backwards])
def test_the_layers_that_a_loop_scans_over_are_recovered(f):
    params, calls = stacked()
    found = recover(f, INT4)(params, calls)
    assert found.left == {}
    before = errors(f, (params, params), None, calls, INT4)
    after = errors(f, (params, found.params), found.qparams, calls, INT4)
    assert (after**2).mean() < 0.6 * (before**2).mean()


def test_layers_of_a_loop_are_on_the_grids_that_their_values_have():
    params, calls = stacked()
    found = recover(scanned, {"weight": INT4["weight"]})(params, calls)
    for before, after in zip(params["w"], np.asarray(found.params["w"]), strict=True):
        for column, new in zip(before.T, after.T, strict=True):
            codes = new / (np.abs(new).max() / 7)
            np.testing.assert_allclose(codes, codes.round(), atol=1e-5)
            np.testing.assert_allclose(abs(new).max(), abs(column).max(), rtol=1e-6)
    quantized = fake_quant(scanned, {"weight": INT4["weight"]}, found.qparams)
    again, expected = (g(found.params, calls[0]) for g in (quantized, scanned))
    np.testing.assert_allclose(again, expected, rtol=1e-5, atol=1e-5)


def test_layers_that_flax_scans_over_are_recovered():
    nn = pytest.importorskip("flax.linen")

    class Block(nn.Module):
        @nn.compact
        def __call__(self, x, _):
            hidden = nn.relu(nn.Dense(16)(x))
            return x + nn.Dense(8)(hidden), None

    class Network(nn.Module):
        @nn.compact
        def __call__(self, x):
            over = {"variable_axes": {"params": 0}, "split_rngs": {"params": True}}
            x, _ = nn.scan(Block, length=3, **over)()(x, None)
            return nn.Dense(5)(x)

    calls, model = [made(n, 4, 10, 8) for n in range(2)], Network()
    params = model.init(jax.random.key(0), calls[0])
    found = recover(model.apply, {"weight": INT4["weight"]})(params, calls)
    assert found.left == {}
    for before, after in zip(
        *map(jax.tree.leaves, (params, found.params)), strict=True
    ):
        assert (before != after).reshape(len(before), -1).any(axis=1).all()
