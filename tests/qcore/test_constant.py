"""Ranges that are set beforehand."""

import numpy as np
import pytest

from qcore import (
    Histogram,
    IntFormat,
    MovingRange,
    PerChannel,
    QuantSpec,
    Range,
    calibrate,
    compute_range,
)

X = np.asarray([[-4, 1, 2], [0, 0, 900]], np.float32)
ASYMMETRIC = QuantSpec("int8", symmetric=False)
INTEGERS = [
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (2, 3, 4, 7, 8, 16)),
    IntFormat(8, narrow=True),
]
FORMATS = [
    *INTEGERS,
    "float8_e4m3fn",
    "float8_e5m2",
    "float6_e2m3fn",
    "float4_e2m1fn",
]


def decided(spec, **options):
    seen = Range.of(X, granularity=PerChannel(0))
    return calibrate(seen, spec, "constant", **options)


@pytest.mark.parametrize(
    ("name", "symmetric"),
    [*((name, True) for name in FORMATS), *((name, False) for name in INTEGERS)],
)
@pytest.mark.parametrize("scale", [None, 1, 0.25, 2.0**-100])
def test_a_power_of_two_is_the_scale_with_zero_point_zero(name, symmetric, scale):
    qparams = decided(QuantSpec(name, symmetric=symmetric), scale=scale)
    assert np.all(qparams.scale == (scale or 1))
    assert np.all(qparams.zero_point == 0)


@pytest.mark.parametrize("symmetric", [True, False])
def test_any_scale_is_met_to_the_last_bit(symmetric):
    for scale in np.random.default_rng(0).uniform(0.01, 9, 50):
        found = decided(QuantSpec("int8", symmetric=symmetric), scale=scale).scale
        np.testing.assert_allclose(found, np.float32(scale), rtol=2.0**-23)


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("int8", {"amax": 6}, (-6, 6)),
        ("uint8", {"amax": 6}, (0, 6)),
        ("int8", {"ends": (-1, 6)}, (-6, 6)),
        ("uint8", {"ends": (-1, 6)}, (0, 6)),
        ("float8_e5m2", {"ends": [0.0, 2.5]}, (-2.5, 2.5)),
    ],
)
def test_a_symmetric_range_reaches_as_far_as_told(name, options, expected):
    lo, hi = compute_range(Range.of(X), QuantSpec(name), "constant", **options)
    assert (lo, hi) == expected


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"amax": 6}, (-6, 6)),
        ({"ends": (-1, 6)}, (-1, 6)),
        ({"ends": (2, 6)}, (0, 6)),
        ({"ends": (-6, -2)}, (-6, 0)),
    ],
)
def test_an_asymmetric_range_has_the_ends_told(options, expected):
    lo, hi = compute_range(Range.of(X), ASYMMETRIC, "constant", **options)
    assert (lo, hi) == expected


@pytest.mark.parametrize("kind", [Range, MovingRange, Histogram])
def test_any_statistics_will_do(kind):
    seen = kind.of(X, granularity=PerChannel(0))
    assert calibrate(seen, ASYMMETRIC, "constant").scale.tolist() == [[1], [1]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": 0}, "`scale` must lie in"),
        ({"scale": -1.0}, "`scale` must lie in .*; got -1.0"),
        ({"scale": float("nan")}, "`scale` must lie in"),
        ({"scale": 1e37}, "`scale` must lie in"),
        ({"amax": 0}, "`amax` must lie in"),
        ({"amax": float("inf")}, "`amax` must lie in"),
        ({"ends": (1, -1)}, "`ends` must be two ascending float32"),
        ({"ends": (0, 1e39)}, "`ends` must be two ascending float32"),
        ({"ends": (0, 1, 2)}, "`ends` must be two ascending float32"),
        ({"ends": (0, float("nan"))}, "`ends` must be two ascending float32"),
        ({"scale": 1, "amax": 2}, "one of .* got `scale` and `amax`"),
    ],
)
def test_senseless_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        decided(QuantSpec("int8"), **options)
