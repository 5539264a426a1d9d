"""Percentiles against closed forms and NumPy's inverted CDF."""

from typing import Any

import numpy as np
import pytest

from qcore import Histogram, PerChannel, QuantSpec, compute_range

SIGNED = QuantSpec("int8")
UNSIGNED = QuantSpec("uint8")
ASYMMETRIC = QuantSpec("int8", symmetric=False)
N = 29_989  # a prime: no share of it is a whole number, which NumPy might round up


def kept(
    x: Any, spec: QuantSpec, percentile: Any, **options: Any
) -> tuple[float, float]:
    h = Histogram.of(np.asarray(x, np.float32), **options)
    lo, hi = compute_range(h, spec, "percentile", percentile=percentile)
    return float(lo[0]), float(hi[0])


def test_the_slot_of_the_ranked_value_is_left_at_its_upper_edge() -> None:
    # One value in each slot of width 1: the 90th of |x| fills its slot, [90, 91).
    assert kept(np.arange(1, 101), SIGNED, 90, bins=64) == (-91, 91)


def test_values_lie_evenly_in_a_slot() -> None:
    # Four values in the slot [4, 5) of width 1; two of them fill half of it.
    x = [1, 2, 4, 4.25, 4.5, 4.75]
    assert kept(x, SIGNED, 100 * 4 / 6, bins=4) == (-4.5, 4.5)


@pytest.mark.parametrize("spec", [SIGNED, ASYMMETRIC], ids=["symmetric", "asymmetric"])
def test_all_of_the_values_reach_to_exactly_the_largest(spec: QuantSpec) -> None:
    x = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    lo, hi = kept(x, spec, 100)
    amax = max(-x.min(), x.max())
    assert (lo, hi) == ((-amax, amax) if spec.symmetric else (x.min(), x.max()))


@pytest.mark.parametrize("spec", [SIGNED, UNSIGNED], ids=["signed", "unsigned"])
@pytest.mark.parametrize("share", [1, 50, 90, 99.9, 99.99])
def test_a_symmetric_reach_is_the_quantile_within_a_slot(
    spec: QuantSpec, share: float
) -> None:
    x = np.random.default_rng(1).laplace(size=N).astype(np.float32)
    magnitude = np.abs(x) if spec is SIGNED else np.maximum(x, 0)
    exact = np.quantile(magnitude, share / 100, method="inverted_cdf")
    width = float(Histogram.of(x).width[0])
    slot = np.floor(exact / width) * width
    reach = kept(x, spec, share)[1]
    assert slot < reach <= slot + width or reach == exact == 0


@pytest.mark.parametrize("share", [50, 99, 99.9])
def test_an_asymmetric_range_leaves_half_out_at_each_tail(share: float) -> None:
    x = np.random.default_rng(2).normal(0.5, size=N).astype(np.float32)
    kept_each = 1 - (1 - share / 100) / 2
    exact = [np.quantile(s * x, kept_each, method="inverted_cdf") for s in (-1, 1)]
    lo, hi = kept(x, ASYMMETRIC, share)
    width = float(Histogram.of(x).width[0])
    np.testing.assert_allclose([-lo, hi], np.maximum(exact, 0), rtol=0, atol=width)


def test_a_pair_is_the_two_quantiles_themselves() -> None:
    x = np.random.default_rng(3).normal(size=N).astype(np.float32)
    exact = np.quantile(x, [0.02, 0.9], method="inverted_cdf")
    width = float(Histogram.of(x).width[0])
    found = kept(x, ASYMMETRIC, (2, 90))
    np.testing.assert_allclose(found, exact, rtol=0, atol=width)


def test_an_end_beyond_zero_is_zero() -> None:
    assert kept(np.arange(1, 101), ASYMMETRIC, (20, 90), bins=64) == (0, 91)


def test_zeros_count_as_values() -> None:
    x = np.append(np.arange(1, 11), np.zeros(90))
    assert kept(x, SIGNED, 90) == (0, 0)
    assert kept(x, SIGNED, 95, bins=8) == (-6, 6)


def test_negative_values_of_an_unsigned_format_count_below_zero() -> None:
    x = np.append(np.arange(1, 11), np.full(90, -3))
    assert kept(x, UNSIGNED, 95, bins=8) == (0, 6)


def test_a_share_that_is_a_whole_number_of_values_keeps_just_them() -> None:
    # 0.07 * 100 is 7.000000000000001 in floating point.
    assert kept(np.arange(1, 101), SIGNED, 7, bins=64) == (-8, 8)


def test_each_channel_has_its_own_percentile() -> None:
    rows = np.random.default_rng(4).normal(size=(3, 500)).astype(np.float32)
    h = Histogram.of(rows, granularity=PerChannel(0))
    _, hi = compute_range(h, SIGNED, "percentile", percentile=90)
    assert hi.tolist() == [kept(row, SIGNED, 90)[1] for row in rows]


@pytest.mark.parametrize(
    ("percentile", "message"),
    [
        (-1, r"must lie in \[0, 100\]; got -1"),
        (100.5, r"must lie in \[0, 100\]; got 100.5"),
        (float("nan"), r"must lie in \[0, 100\]"),
        ((90, 2), "ascending pair"),
        ((1, 2, 3), "ascending pair"),
        ((), "ascending pair"),
    ],
)
def test_a_senseless_share_is_refused(percentile: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kept([1, 2], ASYMMETRIC, percentile)


def test_a_pair_is_refused_for_a_symmetric_range() -> None:
    with pytest.raises(ValueError, match="must be one number if symmetric"):
        kept([1, 2], SIGNED, (1, 99))
