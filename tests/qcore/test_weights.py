"""Scales for weights against every candidate tried, and against the moments of data."""

import numpy as np
import pytest

from qcore import (
    Histogram,
    PerBlock,
    PerChannel,
    QuantSpec,
    fake_quantize,
    mean_ratio,
    qparams_from_amax,
    qparams_from_weights,
)
from qcore.weights import COARSE, PARTS

SPEC = QuantSpec("int4", PerChannel(0))


def rows():
    x = np.random.default_rng(3).standard_normal((5, 40)).astype(np.float32)
    x[4] = 0
    return x


def change_of_output(row, scale, ratio, share=1.0):
    """Return what one scale costs, for inputs of variance 1."""
    d = np.clip(np.rint(row / scale), -8, 7) * np.float64(scale) - row
    return (share * d * d).sum() + ratio * d.sum() ** 2


def least_change(row, *how):
    """Return the cost of the best part of the best coarse scale."""
    tried = np.abs(row).max() * np.float32(COARSE) / np.float32(7)
    centre = min(tried[::-1], key=lambda s: change_of_output(row, s, *how))
    candidates = centre * np.float32(PARTS)
    return min(change_of_output(row, s, *how) for s in candidates)


@pytest.mark.parametrize("ratio", [0.0, 0.5, 30.0])
def test_no_candidate_changes_the_output_less(run, array, to_numpy, ratio):
    found = run(
        lambda w: qparams_from_weights(w, SPEC, mean_ratio=ratio), array(rows())
    )
    scales = to_numpy(found.scale)
    for row, scale in zip(rows()[:4], scales[:4, 0], strict=True):
        least = least_change(row, ratio)
        assert change_of_output(row, scale, ratio) <= least * (1 + 1e-6)
    assert scales.shape == (5, 1)
    assert scales[4, 0] == 1


def test_the_ratio_may_be_an_array(run, array, to_numpy):
    seen = Histogram.of(array(np.abs(rows())))
    found = run(
        lambda w, seen: qparams_from_weights(w, SPEC, mean_ratio=mean_ratio(seen)[0]),
        array(rows()),
        seen,
    )
    ratio = float(to_numpy(mean_ratio(seen))[0])
    expected = qparams_from_weights(rows(), SPEC, mean_ratio=ratio).scale
    np.testing.assert_array_equal(to_numpy(found.scale), expected)


def test_scales_reach_at_least_where_they_must(run, array, to_numpy):
    sizes = np.abs(rows()).max(axis=1, keepdims=True)
    least = np.float32([[0], [0.97], [1], [1.6], [1]]) * np.maximum(sizes, 0.5)
    found = run(
        lambda w, x: qparams_from_weights(w, SPEC, mean_ratio=0.5, least=x),
        array(rows()),
        array(least),
    )
    scales = to_numpy(found.scale)
    assert (scales * 7 >= least * (1 - 1e-6)).all()
    free = qparams_from_weights(rows(), SPEC, mean_ratio=0.5).scale
    assert scales[0] == free[0]
    for row, scale, reach in zip(
        rows()[1:4], scales[1:4, 0], least[1:4, 0], strict=True
    ):
        cost = change_of_output(row, reach / np.float32(7), 0.5)
        assert change_of_output(row, scale, 0.5) <= cost * (1 + 1e-6)


def test_what_scales_must_reach_has_the_shape_of_these():
    with pytest.raises(ValueError, match="`least` must broadcast"):
        qparams_from_weights(rows(), SPEC, least=np.ones((3, 1), np.float32))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -1.0, 1e39])
def test_what_scales_must_reach_is_finite_and_not_negative(value):
    with pytest.raises(ValueError, match="`least` must be finite"):
        qparams_from_weights(rows(), SPEC, least=np.full((5, 1), value))


@pytest.mark.parametrize("least", [1, np.ones((5, 1), int)])
def test_what_scales_must_reach_is_an_array_of_floats(least):
    with pytest.raises(TypeError, match="`least` must be"):
        qparams_from_weights(rows(), SPEC, least=least)


def test_some_weights_count_more(run, array, to_numpy):
    x, share = rows()[:4], np.geomspace(1e-3, 1e3, 40).astype(np.float32)
    found = run(
        lambda w, s: qparams_from_weights(w, SPEC, weight=s), array(x), array(share)
    )
    for row, scale in zip(x, to_numpy(found.scale)[:, 0], strict=True):
        least = least_change(row, 0, share)
        assert change_of_output(row, scale, 0, share) <= least * (1 + 1e-6)


@pytest.mark.parametrize("draw", ["normal", "laplace", "uniform"])
@pytest.mark.parametrize("name", ["int2", "int3", "int4", "int8", "float4_e2m1fn"])
def test_the_error_of_many_weights_is_nearly_the_least(name, draw):
    rng = np.random.default_rng(5)
    w = getattr(rng, draw)(size=(1, 4096)).astype(np.float32)
    spec = QuantSpec(name, PerChannel(0))
    top = np.abs(w).max()

    def error(amax):
        fake = fake_quantize(w, qparams_from_amax(np.full((1, 1), amax), spec))
        return np.sum((fake - w.astype(np.float64)) ** 2)

    least = min(error(top * part) for part in np.linspace(0.1, 2.1, 2001))
    scale = qparams_from_weights(w, spec).scale
    # Among 2001 scales some fit 4096 weights better by chance.
    assert error(scale[0, 0] * spec.format.max) <= 1.005 * least


def test_a_padding_block_takes_the_weights_of_its_own_elements():
    x, spec = rows()[:, :7], QuantSpec("int4", PerBlock(1, 4))
    share = np.arange(7, dtype=np.float32)
    found = qparams_from_weights(x, spec, weight=share).scale
    for first, column in ((0, 0), (4, 1)):
        part = slice(first, first + 4)
        alone = qparams_from_weights(x[:, part], SPEC, weight=share[part])
        np.testing.assert_array_equal(found[:, column], alone.scale[:, 0])


def test_a_weight_must_broadcast():
    with pytest.raises(ValueError, match="`weight` must broadcast"):
        qparams_from_weights(rows(), SPEC, weight=np.ones(3, np.float32))


def test_a_mean_of_inputs_brings_the_mean_of_weights_back():
    plain, shifted = (
        qparams_from_weights(rows(), SPEC, mean_ratio=ratio) for ratio in (0, 50)
    )

    def shift(qparams):
        d = np.clip(np.rint(rows() / qparams.scale), -8, 7) * qparams.scale - rows()
        return np.abs(d.sum(axis=1)).sum()

    assert shift(shifted) < shift(plain) / 2


def test_padding_of_a_block_has_no_weight():
    x, spec = rows()[:, :7], QuantSpec("int4", PerBlock(1, 4))
    found = qparams_from_weights(x, spec, mean_ratio=2.0).scale
    for first, column in ((0, 0), (4, 1)):
        alone = qparams_from_weights(x[:, first : first + 4], SPEC, mean_ratio=2.0)
        np.testing.assert_array_equal(found[:, column], alone.scale[:, 0])


@pytest.mark.parametrize("ratio", [-1.0, float("inf"), float("nan")])
def test_a_senseless_ratio_is_refused(ratio):
    with pytest.raises(ValueError, match="`mean_ratio` must be finite and not neg"):
        qparams_from_weights(rows(), SPEC, mean_ratio=ratio)


@pytest.mark.parametrize("name", ["int8", "float8_e4m3fn"])
def test_scales_of_the_largest_weights_are_finite(name):
    x = np.asarray([3e38, 1e38], dtype=np.float32)
    assert np.isfinite(qparams_from_weights(x, QuantSpec(name)).scale).all()


@pytest.mark.parametrize("shape", [(0, 8), (4, 0)])
def test_no_weights_have_scales_of_1_or_none(run, array, to_numpy, shape):
    scales = run(
        lambda x: qparams_from_weights(x, QuantSpec("int8", PerChannel(0))).scale,
        array(np.zeros(shape, dtype=np.float32)),
    )
    expected = np.ones((shape[0], 1), dtype=np.float32)
    np.testing.assert_array_equal(to_numpy(scales), expected)


def test_asymmetric_weights_are_refused():
    with pytest.raises(ValueError, match="`spec` must be symmetric"):
        qparams_from_weights(rows(), QuantSpec(symmetric=False))


def test_the_ratio_is_that_of_the_moments(array, to_numpy):
    x = np.abs(np.random.default_rng(4).standard_normal((3, 5000))).astype(np.float32)
    x[1] -= 0.25
    found = mean_ratio(Histogram.of(array(x), granularity=PerChannel(0)))
    wide = x.astype(np.float64)
    expected = wide.mean(axis=1) ** 2 / wide.var(axis=1)
    np.testing.assert_allclose(to_numpy(found), expected, rtol=1e-3)


@pytest.mark.parametrize(("values", "expected"), [([5.0] * 9, 100), ([0.0] * 9, 0)])
def test_inputs_that_do_not_vary_have_a_ratio_of_100_at_most(values, expected):
    found = mean_ratio(Histogram.of(np.float32(values)))
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("bad", [-1, np.nan])
def test_a_weight_must_not_be_negative(bad):
    with pytest.raises(ValueError, match="`weight` must not be negative"):
        qparams_from_weights(rows(), SPEC, weight=np.float32(bad))


def test_a_weight_must_be_of_the_same_library():
    strict = pytest.importorskip("array_api_strict")
    with pytest.raises(TypeError, match="`weight` must be of the data's library"):
        qparams_from_weights(rows(), SPEC, weight=strict.ones(40))
