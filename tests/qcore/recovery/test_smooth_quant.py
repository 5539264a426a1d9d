"""Outliers moved into the weights, against errors measured on the data itself."""

import numpy as np
import pytest

from qcore import (
    Moments,
    PerChannel,
    QuantSpec,
    Range,
    fake_quantize,
    qparams_from_data,
)
from qcore.recovery import smooth_quant

RNG = np.random.default_rng(6)
SIZES = np.exp(1.5 * RNG.standard_normal(16))
X = (RNG.standard_normal((300, 16)) * SIZES).astype(np.float32)
WEIGHTS = [RNG.standard_normal((n, 16)).astype(np.float32) for n in (12, 7)]
INPUT, WEIGHT = QuantSpec("uint8", symmetric=False), QuantSpec("int8", PerChannel(0))
LAST = PerChannel(-1)


def measured(scale, weights=WEIGHTS, x=X):
    """Return the error of the outputs with both sides rounded."""
    smooth = x / scale
    smooth = fake_quantize(smooth, qparams_from_data(smooth, INPUT))
    total = 0
    for weight in weights:
        larger = weight * scale
        rounded = fake_quantize(larger, qparams_from_data(larger, WEIGHT))
        total += ((x @ weight.T - smooth @ rounded.T) ** 2).sum()
    return total


@pytest.mark.parametrize("alpha", [0.0, 0.5, 0.8, 1.0])
def test_the_scale_is_that_of_the_paper(run, array, to_numpy, alpha):
    def scale(x, *weights):
        return smooth_quant(Moments.of(x, granularity=LAST), weights, alpha=alpha)

    found = run(scale, array(X), *(array(w) for w in WEIGHTS))
    largest = np.abs(np.concatenate(WEIGHTS)).max(0)
    expected = np.abs(X).max(0) ** alpha / largest ** (1 - alpha)
    np.testing.assert_allclose(to_numpy(found.scale), expected, rtol=1e-6)
    assert to_numpy(found.scale).dtype == np.float32
    assert to_numpy(found.alpha) == np.float32(alpha)


def test_three_quarters_of_the_outliers_are_moved_unless_told_otherwise():
    found = smooth_quant(Range.of(X, granularity=LAST), WEIGHTS)
    largest = np.abs(np.concatenate(WEIGHTS)).max(0)
    expected = np.abs(X).max(0) ** 0.75 / largest**0.25
    np.testing.assert_allclose(found.scale, expected, rtol=1e-6)


def test_the_alpha_found_is_nearly_the_best_of_all(array, to_numpy):
    statistics = Moments.of(array(X), granularity=LAST)
    weights = [array(w) for w in WEIGHTS]
    found = smooth_quant(statistics, weights, alpha=None, weight_spec=WEIGHT)
    fixed = (
        smooth_quant(Range.of(X, granularity=LAST), WEIGHTS, alpha=a / 20).scale
        for a in range(21)
    )
    best = min(measured(scale) for scale in fixed)
    assert measured(to_numpy(found.scale)) < 1.1 * best
    assert measured(to_numpy(found.scale)) < 0.3 * measured(np.ones(16, np.float32))


def test_what_is_exact_as_it_is_stays_so():
    weights = RNG.integers(-126, 127, (12, 16)).astype(np.float32)
    weights[:, 0] = 127
    found = smooth_quant(
        Moments.of(X, granularity=LAST),
        [weights],
        alpha=None,
        input_spec=QuantSpec("float8_e4m3fn"),
        weight_spec=WEIGHT,
    )
    np.testing.assert_array_equal(found.scale, np.ones(16))
    assert np.isnan(found.alpha)


def test_inputs_may_be_the_first_axis():
    statistics = Moments.of(X, granularity=LAST)
    found, expected = (
        smooth_quant(statistics, weights, axis, alpha=None)
        for weights, axis in (([w.T for w in WEIGHTS], 0), (WEIGHTS, 1))
    )
    np.testing.assert_array_equal(found.scale, expected.scale)


def test_inputs_or_weights_of_zero_stay_as_they_are():
    x, weight = X.copy(), WEIGHTS[0].copy()
    x[:, 2], weight[:, 5] = 0, 0
    statistics = Moments.of(x, granularity=LAST)
    for alpha in (0.5, None):
        scale = smooth_quant(statistics, [weight], alpha=alpha).scale
        assert scale[2] == scale[5] == 1
        assert np.isfinite(scale).all()


@pytest.mark.parametrize(
    ("statistics", "weights", "options", "error", "said"),
    [
        (
            Range,
            WEIGHTS,
            {"alpha": None},
            TypeError,
            "be Moments for a search .* Range",
        ),
        (Moments, [], {}, ValueError, "at least one layer; got none"),
        (Moments, WEIGHTS, {"alpha": 2}, ValueError, "from 0 to 1; got 2"),
        (Moments, WEIGHTS, {"axis": 0}, ValueError, "16 inputs, .*; got 12 in axis 0"),
    ],
)
def test_what_does_not_fit_is_refused(statistics, weights, options, error, said):
    with pytest.raises(error, match=said):
        smooth_quant(statistics.of(X, granularity=LAST), weights, **options)


def test_other_things_than_statistics_are_refused():
    with pytest.raises(TypeError, match="must be statistics; got ndarray"):
        smooth_quant(X, WEIGHTS, alpha=0.5)
