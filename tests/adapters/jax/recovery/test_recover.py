"""Functions whose weights are rounded for their output, and their biases corrected."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qcore import QuantSpec, qparams_from_amax
from qcore.adapters.jax import Config, recover, sites
from tests.adapters.jax.recovery.functions import (
    COARSE,
    WEIGHTS,
    data,
    errors,
    made,
    ranged,
)

NHWC = ("NHWC", "HWIO", "NHWC")


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
