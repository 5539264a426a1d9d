"""Factors of the tails' quantiles, against every one of them tried."""

import numpy as np
import pytest

from qcore import Histogram, PerChannel, QuantSpec, compute_range
from tests.qcore.distributions import KINDS, samples
from tests.qcore.range_definition import best_of

COARSE = {"search_range": (0.7, 1.3), "search_step": 0.1}
FACTORS = [0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3]
N = 29_989  # a prime: no share of it is a whole number, which NumPy might round up


def found_range(h, spec, **options):
    lo, hi = compute_range(h, spec, "ifmr", **options)
    return lo[0], hi[0]


def tails(h):
    """Return how far the values reach below and above zero."""
    return max(-float(h.min[0]), 0.0), max(float(h.max[0]), 0.0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["int4", "int8", "uint4", "float4_e2m1fn"])
def test_a_symmetric_search_finds_the_best_factor(kind, name):
    h, spec = Histogram.of(samples(kind), bins=32), QuantSpec(name)
    below, above = tails(h)
    amax = max(below, above) if spec.format.signed else above
    lows = [-amax * f if spec.format.signed else 0 for f in FACTORS]
    ranges = list(zip(lows, [amax * f for f in FACTORS], strict=True))
    found = found_range(h, spec, **COARSE)
    assert found == (best_of(h, ranges, spec) if amax else (0, 0))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["int3", "uint4", "int8"])
def test_an_asymmetric_search_finds_the_best_pair_of_factors(kind, name):
    h, spec = Histogram.of(samples(kind), bins=32), QuantSpec(name, symmetric=False)
    below, above = tails(h)
    ranges = [(-below * f, above * g) for f in FACTORS for g in FACTORS]
    assert found_range(h, spec, **COARSE) == best_of(h, ranges, spec)


@pytest.mark.parametrize("share", [0.6, 0.99, 0.9999])
def test_each_end_starts_from_the_quantile_of_its_tail(share):
    x = np.random.default_rng(2).normal(size=N).astype(np.float32)
    h = Histogram.of(x)
    spec = QuantSpec("int8", symmetric=False)
    found = found_range(
        h,
        spec,
        min_percentile=share,
        max_percentile=0.95,
        search_range=(1, 1.0001),
        search_step=0.0001,
    )
    exact = np.quantile(x, [1 - share, 0.95], method="inverted_cdf")
    np.testing.assert_allclose(found, exact, rtol=1e-3, atol=float(h.width[0]))


def test_a_share_of_one_is_exactly_the_largest_value():
    h = Histogram.of(samples("gaussian"))
    all_of_it = {"max_percentile": 1, "min_percentile": 1}
    factors = {"search_range": (0.5, 1), "search_step": 0.5}
    lo, hi = found_range(h, QuantSpec("int16", symmetric=False), **all_of_it, **factors)
    assert (lo, hi) == (h.min[0], h.max[0])


def test_the_tail_that_reaches_further_out_leads_a_symmetric_range():
    x = np.append(np.linspace(0, 1, 99), -3)
    h = Histogram.of(x.astype(np.float32))
    _, hi = found_range(h, QuantSpec("int8"), search_range=(1, 2), search_step=1)
    assert hi == 3


@pytest.mark.parametrize(
    ("first", "last", "step", "widest"),
    [(0.7, 1.3, 0.01, 1.3), (0.1, 0.4, 0.1, 0.4), (0.5, 1.2, 0.25, 1)],
)
def test_factors_are_decimal_fractions_up_to_the_last(first, last, step, widest):
    # Of values beyond the range nearly all is lost: the widest range is the best.
    h = Histogram.of(np.asarray([1, -1] * 9 + [100, -100] * 9, np.float32))
    options = {"search_range": (first, last), "search_step": step}
    spec = QuantSpec("int8", symmetric=False)
    share = {"max_percentile": 0.6, "min_percentile": 0.6}
    quantile = compute_range(h, spec, "percentile", percentile=(40, 60))[1][0]
    _, hi = found_range(h, spec, **options, **share)
    assert hi == np.float32(float(quantile) * widest)


def test_each_channel_is_searched_as_if_alone():
    rows = np.stack([samples(kind)[:200] for kind in KINDS])
    spec = QuantSpec("uint8", symmetric=False)
    h = Histogram.of(rows, bins=64, granularity=PerChannel(0))
    lo, hi = compute_range(h, spec, "ifmr")
    alone = [found_range(Histogram.of(row, bins=64), spec) for row in rows]
    assert list(zip(lo, hi, strict=True)) == alone


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_percentile": 0.5}, r"`max_percentile` must lie in \(0.5, 1\]; got 0.5"),
        ({"min_percentile": 1.01}, r"`min_percentile` must lie in .* got 1.01"),
        ({"max_percentile": float("nan")}, "must lie in"),
        ({"search_range": (0, 1)}, "two ascending positive factors"),
        ({"search_range": (1.3, 0.7)}, "two ascending positive factors"),
        ({"search_range": (0.7, float("inf"))}, "two ascending positive factors"),
        ({"search_range": (1, 2, 3)}, "two ascending positive factors"),
        ({"search_step": 0}, r"`search_step` must lie in \(0, 0.6\]"),
        ({"search_step": 0.61}, "the extent of `search_range`; got 0.61"),
        ({"search_step": float("inf")}, "`search_step` must lie in"),
        ({"search_step": float("nan")}, "`search_step` must lie in"),
    ],
)
def test_an_option_out_of_range_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        found_range(Histogram.of(samples("gaussian")), QuantSpec(), **options)


def test_so_many_factors_are_refused() -> None:
    h = Histogram.of(np.ones(3, np.float32))
    with pytest.raises(ValueError, match="at most 1000 factors"):
        compute_range(h, QuantSpec(), "ifmr", search_step=1e-6)
