import numpy as np
import pytest

from qcore import Moments, PerChannel, Range, StatisticsError
from qcore.recovery import bias_correction, expected_bias_correction

RNG = np.random.default_rng(5)
WEIGHTS = RNG.standard_normal((6, 4, 3, 3)).astype(np.float32)
ROUNDED = np.round(WEIGHTS * 4).astype(np.float32) / 4
SHAPE = 64, 6  # for which JAX compiles once
MEANS = np.abs(RNG.standard_normal((1, 4, 1, 1)))


def output(x, granularity=PerChannel(-1)):  # noqa: B008 - frozen
    return Moments.of(x, granularity=granularity, order=1)


def test_the_correction_is_the_difference_of_means(run, array, to_numpy):
    wanted, error = RNG.standard_normal((2, *SHAPE)).astype(np.float32)
    got = wanted + np.float32(0.01) * error
    found = to_numpy(run(bias_correction, output(array(wanted)), output(array(got))))
    expected = (wanted.astype(np.float64) - got).mean(0, keepdims=True)
    np.testing.assert_array_equal(found, expected.astype(np.float32), strict=True)


def test_a_small_error_of_a_large_mean_is_not_rounded_away(array, to_numpy):
    wanted = np.float32([2.0**20, 2.0**20, 2.0**20])[:, None]
    got = wanted + np.float32([[0.125], [0], [0]])
    found = bias_correction(output(array(wanted)), output(array(got)))
    assert to_numpy(found).item() == np.float32(-0.125 / 3)


def test_corrected_output_has_the_expected_mean(array, to_numpy):
    x = np.maximum(RNG.standard_normal((4, 64)), 0).astype(np.float32)
    weights, rounded = (w.reshape(6, -1)[:, :4] for w in (WEIGHTS, ROUNDED))
    wanted, got = ((w @ x).astype(np.float32).T for w in (weights, rounded))
    shift = to_numpy(bias_correction(output(array(wanted)), output(array(got))))
    before = abs((wanted - got).mean(0)).max()
    assert abs((wanted - (got + shift)).mean(0)).max() < 1e-6 < before


def test_nothing_seen_needs_no_correction(array, to_numpy):
    state = output(array(np.zeros((0, 3), np.float32)))
    np.testing.assert_array_equal(to_numpy(bias_correction(state, state)), [[0, 0, 0]])


def test_other_data_is_refused(array):
    one, two = (output(array(np.ones(s, np.float32))) for s in (SHAPE, (2, 6)))
    with pytest.raises(StatisticsError, match="the same data; got 384 and 12 values"):
        bias_correction(one, two)


def test_other_statistics_are_refused(array):
    x = array(np.ones(SHAPE, np.float32))
    with pytest.raises(TypeError, match="`found` must be Moments; got Range"):
        bias_correction(output(x), Range.of(x))


def test_rounded_weights_shift_the_mean_of_the_output(run, array, to_numpy):
    found = run(expected_bias_correction, array(WEIGHTS), array(ROUNDED), array(MEANS))
    error = (WEIGHTS.astype(np.float64) - ROUNDED) * MEANS
    np.testing.assert_allclose(to_numpy(found), error.sum((1, 2, 3)), rtol=1e-6)
    assert to_numpy(found).dtype == np.float32


def test_the_output_channels_may_lie_on_any_axis(array, to_numpy):
    turned = [np.moveaxis(x, 0, 2) for x in (WEIGHTS, ROUNDED)]
    mean = np.moveaxis(MEANS, 0, 2)
    found = expected_bias_correction(*map(array, turned), array(mean), 2)
    expected = expected_bias_correction(*map(array, (WEIGHTS, ROUNDED, MEANS)))
    np.testing.assert_array_equal(to_numpy(found), to_numpy(expected))


def test_what_is_analytic_is_what_is_measured(array, to_numpy):
    x = RNG.standard_normal((SHAPE[0], 4)).astype(np.float32) + 1
    weights, rounded = (w[:, :, 0, 0] for w in (WEIGHTS, ROUNDED))
    mean = Moments.of(array(x), granularity=PerChannel(1)).mean
    known = expected_bias_correction(array(weights), array(rounded), mean)
    wanted, got = (
        output(array((x @ w.T.astype(np.float64)).astype(np.float32)))
        for w in (weights, rounded)
    )
    measured = to_numpy(bias_correction(wanted, got))[0]
    np.testing.assert_allclose(to_numpy(known), measured, atol=1e-6)


def test_weights_of_another_shape_are_refused(array):
    with pytest.raises(
        ValueError, match=r"must have the shape of the weights; got \(6"
    ):
        expected_bias_correction(array(WEIGHTS), array(ROUNDED[:, :2]), array(MEANS))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_channel_with_a_product_that_is_no_number_has_none(run, array, to_numpy, bad):
    weights = WEIGHTS[:, :, 0, 0].copy()
    weights[2, 1] = bad
    rounded, mean = ROUNDED[:, :, 0, 0], MEANS[:, :, 0, 0]
    found = run(expected_bias_correction, *map(array, (weights, rounded, mean)))
    np.testing.assert_array_equal(np.isnan(to_numpy(found)), np.arange(6) == 2)
