"""What is collected: for each method what it reads, of what is no padding."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import qcore
from qcore.adapters.jax import calibrate, collect, fake_quant, sync_statistics
from tests.adapters.jax.programs import W, X, condition, over_layers

SITE = "dot_general:0.lhs"


def rules(**activation):
    return [{"activation": {"bins": 16, **activation}}]


def product(x):
    return x @ W


def assert_equal(found, expected):
    for a, b in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.dtype == b.dtype


KINDS = {
    "mse": qcore.Histogram,
    "minmax": qcore.Histogram,
    "moving_average": qcore.MovingRange,
    "isotone": qcore.Top2,
}


@pytest.mark.parametrize(("method", "kind"), KINDS.items())
def test_a_method_gets_what_it_reads(method, kind):
    _, first = collect(product, rules(method=method))(None, X)
    _, seen = collect(product, rules(method=method))(first, 2 * X)
    of = partial(kind.of, bins=16) if kind is qcore.Histogram else kind.of
    assert_equal(seen[SITE], of(X).update(2 * X))


def test_a_rule_can_ask_for_less_and_for_options():
    wanted = {"kind": "moving_range", "averaging_constant": 0.5}
    moving = rules(method="moving_average", statistics=wanted)
    _, seen = collect(product, rules(method="minmax", statistics="range"))(None, X)
    assert_equal(seen[SITE], qcore.Range.of(X))
    collecting = collect(product, moving)
    _, seen = collecting(collecting(None, X)[1], 3 * X)
    np.testing.assert_allclose(seen[SITE].max, 2 * X.max(), rtol=1e-6)


def test_statistics_that_a_method_cannot_read_are_refused_at_once():
    with pytest.raises(qcore.errors.StatisticsError, match="'mse' needs Histogram"):
        collect(product, rules(method="mse", statistics="range"))
    with pytest.raises(ValueError, match="got 'ranges': did you mean 'range'"):
        collect(product, rules(method="minmax", statistics="ranges"))


@pytest.mark.parametrize("axis", [(0,), (0, 1), None])
def test_activations_may_have_scales_of_channels_and_blocks(axis):
    shared = {"axis": axis} if axis else {"block_size": 2}
    granularity = qcore.PerChannel(axis) if axis else qcore.PerBlock(1, 2)
    config = rules(method="minmax", **shared)
    _, seen = collect(product, config)(None, X)
    expected = qcore.Histogram.of(X, bins=16, granularity=granularity)
    assert_equal(seen[SITE], expected)
    qparams = calibrate(product, config, seen)(X)
    spec = qcore.QuantSpec("int8", granularity)
    scales = qcore.qparams_from_data(np.asarray(X), spec)
    np.testing.assert_array_equal(qparams[SITE].scale, scales.scale)
    found = fake_quant(product, config, qparams)(X)
    rounded = qcore.fake_quantize(np.asarray(X), scales)
    np.testing.assert_allclose(found, rounded @ np.asarray(W), rtol=1e-5, atol=1e-5)


def test_padding_is_left_out():
    lengths = jnp.asarray([2, 4])

    def f(x, lengths):
        return over_layers(x)[0] * lengths.sum()

    def mask(site, x, lengths):
        assert site.shape == x.shape
        return (jnp.arange(4) < lengths[:, None])[..., None]

    x = jnp.arange(1.0, 33.0).reshape(2, 4, 4) / 32
    config = rules(method="minmax")
    is_data = np.arange(4)[None, :, None] < np.asarray(lengths)[:, None, None]
    padded = jnp.where(is_data, x, 1e9)
    seen = jax.jit(collect(f, config, mask=mask))(None, padded, lengths)[1]
    (name,) = seen
    counts = np.asarray(seen[name].counts).sum() + np.asarray(seen[name].zeros)
    assert counts == 3 * (2 + 4) * 4
    assert seen[name].max == x[1].max()


def test_what_a_condition_sees_is_counted():
    runs = 0
    x = X
    while jnp.abs(x @ W).sum() < 100:
        x, runs = x * 2 + 1, runs + 1
    _, seen = jax.jit(collect(condition, rules(method="minmax")))(None, X)
    assert np.asarray(seen[SITE].counts).sum() == (runs + 1) * X.size


def test_counting_does_not_change_the_gradient():
    loss = lambda x: (jnp.sin(product(x)) ** 2).sum()  # noqa: E731
    both = jax.value_and_grad(collect(loss, rules()), argnums=1, has_aux=True)
    (value, seen), gradient = jax.jit(both)(None, X)
    np.testing.assert_array_equal(value, jax.jit(loss)(X))
    np.testing.assert_allclose(gradient, jax.grad(loss)(X), rtol=1e-6)
    assert_equal(seen[SITE], qcore.Histogram.of(X, bins=16))


def test_counts_are_int64_without_64_bit_numbers():
    assert not jax.config.jax_enable_x64
    start = collect(product, rules())(None, X)[1]
    many = {
        name: jax.tree.map(
            lambda x: np.asarray(x) + (x.dtype == np.int64) * 2**40, seen
        )
        for name, seen in start.items()
    }
    with jax.enable_x64(True):
        many = jax.tree.map(jnp.asarray, many)
    _, seen = jax.jit(collect(product, rules()))(many, X)
    assert seen[SITE].counts.dtype == jnp.int64
    assert int(np.asarray(seen[SITE].counts).max()) > 2**40
    wanted = np.asarray(start[SITE].counts).sum() * 2 + 2**40 * start[SITE].counts.size
    assert np.asarray(seen[SITE].counts).sum() == wanted


def test_no_values_are_no_statistics():
    _, seen = collect(product, rules(method="minmax"))(None, X[:0])
    with pytest.raises(qcore.errors.NoDataError, match=r"dot_general:0\.lhs"):
        calibrate(product, rules(method="minmax"), seen)(X)


@pytest.mark.parametrize("method", ["mse", "minmax", "isotone"])
def test_statistics_of_a_named_axis_are_those_of_all_its_entries(method):
    parts = jnp.stack([X, 5 * X])

    @jax.jit
    @partial(jax.vmap, axis_name="parts", out_axes=None)
    def collected(x):
        _, seen = collect(product, rules(method=method))(None, x)
        return sync_statistics(seen, "parts")

    _, expected = collect(product, rules(method=method))(None, parts.reshape(6, 4))
    assert_equal(collected(parts), expected)


def test_averages_over_batches_cannot_be_those_of_devices():
    _, seen = collect(product, rules(method="moving_average"))(None, X)
    with pytest.raises(qcore.QuantError, match=r"MovingRange does at dot_general:0"):
        sync_statistics(seen, "parts")


def test_statistics_in_the_place_of_scales_are_calibrated():
    config = rules(method="minmax")
    _, seen = collect(product, config)(None, X)
    expected = fake_quant(product, config, calibrate(product, config, seen)(X))(X)
    np.testing.assert_array_equal(fake_quant(product, config, seen)(X), expected)
    compiled = jax.jit(fake_quant(product, config, seen))
    np.testing.assert_allclose(compiled(X), expected, rtol=1e-6)
    given = jax.jit(lambda seen, x: fake_quant(product, config, seen)(x))
    np.testing.assert_allclose(given(seen, X), expected, rtol=1e-6)
