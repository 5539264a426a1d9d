"""Powers of two for scales, against every one of them tried."""

import numpy as np
import pytest

from qcore import Histogram, PerChannel, QuantSpec, calibrate, compute_range
from tests.qcore.distributions import KINDS, samples
from tests.qcore.range_definition import TIE, squared_error

POWERS = [2.0**j for j in range(-24, 12)]
FEW = [2.0**j for j in range(-7, 4)]


def codes_of(fmt):
    if fmt.name.startswith("float"):
        values = np.asarray(fmt.values)
        return np.unique(values[np.isfinite(values)])
    return np.arange(fmt.qmin, fmt.qmax + 1.0)


def is_power_of_two(scale):
    return np.frexp(scale)[0] == 0.5


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "name", ["int4", "int8", "uint4", "float4_e2m1fn", "float6_e3m2fn", "float8_e4m3fn"]
)
def test_no_power_of_two_is_better_than_the_one_found(kind, name):
    h, spec = Histogram.of(samples(kind), bins=32), QuantSpec(name)
    codes = codes_of(spec.format)
    scale = calibrate(h, spec, "floating").scale
    least = min(squared_error(h, codes * power) for power in POWERS)
    assert is_power_of_two(scale)
    assert squared_error(h, codes * float(scale)) <= least * TIE


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["int3", "uint4"])
def test_no_power_of_two_with_any_zero_point_is_better(kind, name):
    h, spec = Histogram.of(samples(kind), bins=32), QuantSpec(name, symmetric=False)
    codes = codes_of(spec.format)
    qparams = calibrate(h, spec, "floating")
    errors = [
        squared_error(h, (codes - z) * power) for power in POWERS[8:30] for z in codes
    ]
    found = (codes - int(qparams.zero_point)) * float(qparams.scale)
    assert is_power_of_two(qparams.scale)
    assert squared_error(h, found) <= min(errors) * TIE


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("bits", range(2, 17))
@pytest.mark.parametrize("kind", KINDS)
def test_every_integer_format_has_a_power_of_two(kind, bits, symmetric):
    x = samples(kind)
    for name in (f"int{bits}", f"uint{bits}"):
        spec = QuantSpec(name, symmetric=symmetric)
        assert is_power_of_two(calibrate(Histogram.of(x), spec, "floating").scale)


@pytest.mark.parametrize(
    ("name", "symmetric"),
    [
        *((name, s) for name in ("int8", "uint8", "int16") for s in (True, False)),
        ("float8_e5m2", True),
    ],
)
@pytest.mark.parametrize("unit", [2.0**-126, 1e-30, 1e30, 1.7e38])
def test_numbers_of_any_size_have_one(unit, name, symmetric):
    x = np.asarray([-2, 0.5, 1, 1.9], np.float32) * np.float32(unit)
    spec = QuantSpec(name, symmetric=symmetric)
    scale = calibrate(Histogram.of(x), spec, "floating").scale
    assert is_power_of_two(scale)
    assert np.isfinite(scale)


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_the_range_is_less_than_twice_as_wide_as_the_values(kind, symmetric):
    x = samples(kind)
    spec = QuantSpec("int8", symmetric=symmetric)
    lo, hi = compute_range(Histogram.of(x), spec, "floating")
    seen = 2 * np.abs(x).max() if symmetric else max(x.max(), 0) - min(x.min(), 0)
    assert hi - lo < 2 * seen


def test_each_channel_is_searched_as_if_alone():
    rows = np.stack([samples(kind)[:200] for kind in KINDS])
    spec = QuantSpec("uint8", symmetric=False)
    h = Histogram.of(rows, bins=64, granularity=PerChannel(0))
    scales = calibrate(h, spec, "floating").scale[:, 0]
    alone = [Histogram.of(row, bins=64) for row in rows]
    assert scales.tolist() == [calibrate(h, spec, "floating").scale for h in alone]
