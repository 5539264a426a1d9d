"""A transformer's block whose outliers are moved into its weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qcore import QuantError, QuantSpec
from qcore.adapters.jax import fake_quant, recover, smooth

PAIRS = [
    (["first/scale", "first/bias"], ["q/kernel", "k/kernel", "v/kernel"]),
    (["v/kernel", "v/bias"], "o/kernel"),
    (["second/scale", "second/bias"], ["up/kernel"]),
    (["up/kernel", "up/bias"], ["down/kernel"]),
]
RULES = {
    "site": "*dense*",
    "weight": {"format": "int8"},
    "activation": {"format": "int8", "symmetric": False, "dynamic": True},
}
SEARCH = {
    "alpha": None,
    "input_spec": QuantSpec("int8", symmetric=False),
    "weight_spec": QuantSpec("int8"),
}
WIDTH, HEADS = 16, 2


def norm(p, x):
    x = x - x.mean(-1, keepdims=True)
    return x / jnp.sqrt((x * x).mean(-1, keepdims=True) + 1e-5) * p["scale"] + p["bias"]


def dense(p, x):
    with jax.named_scope("dense"):
        return x @ p["kernel"] + p["bias"]


def block(p, x):
    y = norm(p["first"], x)
    q, k, v = (dense(p[name], y).reshape(*x.shape[:-1], HEADS, -1) for name in "qkv")
    weights = jax.nn.softmax(jnp.einsum("bthd,bshd->bhts", q, k) / 3, -1)
    mixed = jnp.einsum("bhts,bshd->bthd", weights, v).reshape(x.shape)
    x = x + dense(p["o"], mixed)
    hidden = jax.nn.relu(dense(p["up"], norm(p["second"], x)))
    return x + dense(p["down"], hidden)


def made(seed, *shape):
    return np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)


def layer(seed, inputs, outputs):
    kernel = made(seed, inputs, outputs) / np.sqrt(inputs)
    return {"kernel": kernel.astype(np.float32), "bias": made(seed + 1, outputs) / 4}


@pytest.fixture(scope="module")
def params():
    gain = np.ones(WIDTH, np.float32)
    gain[[2, 7]] = 40  # outliers, as norms of language models have them
    norms = {"scale": gain, "bias": gain * made(0, WIDTH) / 4}
    found = {name: layer(n, WIDTH, WIDTH) for n, name in enumerate("qkvo")}
    for name in "qkv":
        found[name]["kernel"] = found[name]["kernel"] / gain[:, None]
    up = layer(8, WIDTH, 64)
    up["kernel"] = up["kernel"] / gain[:, None]
    return found | {
        "first": norms,
        "second": norms,
        "up": up,
        "down": layer(9, 64, WIDTH),
    }


@pytest.fixture(scope="module")
def calls():
    return [jnp.asarray(made(20 + n, 4, 9, WIDTH)) for n in range(2)]


def lost(params, other, calls, rules=RULES, qparams=None):
    quantized = fake_quant(block, rules, qparams)
    change = [np.asarray(quantized(other, x) - block(params, x)) for x in calls]
    return (np.stack(change) ** 2).mean()


@pytest.mark.parametrize("options", [{}, SEARCH], ids=["usual", "searched"])
def test_the_function_stays_and_loses_less_in_8_bits(params, calls, options):
    found = smooth(block, PAIRS, **options)(params, calls)
    assert jax.tree.structure(found) == jax.tree.structure(params)
    for x in calls:
        np.testing.assert_allclose(block(found, x), block(params, x), atol=2e-5)
    assert lost(params, found, calls) < 0.1 * lost(params, params, calls)


def test_recovered_it_loses_less_still(params, calls):
    rules = {**RULES, "weight": {"format": "int4", "axis": "output"}}
    smoothed = smooth(block, PAIRS, **SEARCH)(params, calls)
    found = recover(block, rules)(smoothed, calls)
    after = lost(params, found.params, calls, rules, found.qparams)
    assert after < 0.7 * lost(params, smoothed, calls, rules)


@pytest.mark.parametrize(("options", "alpha"), [({"alpha": 0.5}, 0.5), ({}, 0.75)])
def test_channels_are_divided_by_the_paper_s_scale(params, calls, options, alpha):
    found = smooth(block, PAIRS[:1], **options)(params, iter(calls))
    x = np.concatenate(calls).astype(np.float64)
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    x = x * params["first"]["scale"] + params["first"]["bias"]
    largest = np.abs(np.stack([params[name]["kernel"] for name in "qkv"])).max((0, 2))
    scale = np.abs(x).max((0, 1)) ** alpha / largest ** (1 - alpha)
    for name in ("scale", "bias"):
        expected = params["first"][name] / scale
        np.testing.assert_allclose(found["first"][name], expected, rtol=1e-5)
    for name in "qkv":
        expected = params[name]["kernel"] * scale[:, None]
        np.testing.assert_allclose(found[name]["kernel"], expected, rtol=1e-5)
    for name in ("second", "up", "down", "o"):
        jax.tree.map(np.testing.assert_array_equal, found[name], params[name])


def test_half_precision_stays(params, calls):
    halves = jax.tree.map(lambda x: jnp.asarray(x, jnp.bfloat16), params)
    found = smooth(block, PAIRS, alpha=0.5)(
        halves, [x.astype("bfloat16") for x in calls]
    )
    assert {leaf.dtype.name for leaf in jax.tree.leaves(found)} == {"bfloat16"}


REFUSED = {
    "no pair": ([["first/scale"]], TypeError, "pairs of names"),
    "no sequence": ("first", TypeError, "a sequence of makers"),
    "no leaf": ([("first/scael", "q/kernel")], ValueError, "'first/scale'"),
    "no kernel": ([("first/scale", "q/bias")], QuantError, "q/bias must be the weight"),
    "other inputs": (
        [("first/scale", ["q/kernel", "up/kernel"])],
        *(QuantError, "must have one input; they read 2"),
    ),
    "other size": (
        [("up/bias", "q/kernel")],
        *(QuantError, "up/bias must have 16 elements"),
    ),
    "bias left out": (
        [("first/scale", ["q/kernel", "k/kernel", "v/kernel"])],
        *(QuantError, "compute the same"),
    ),
    "reader left out": (
        [(["first/scale", "first/bias"], ["q/kernel", "k/kernel"])],
        *(QuantError, "compute the same"),
    ),
}


@pytest.mark.parametrize(("pairs", "kind", "said"), REFUSED.values(), ids=REFUSED)
def test_what_would_change_the_function_is_refused(params, calls, pairs, kind, said):
    with pytest.raises(kind, match=said):
        smooth(block, pairs, alpha=0.5)(params, calls[:1])
