"""The rounding modes, against the exact fractions and the numbers of ml_dtypes."""

import math
from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest

from qcore import IntFormat, QParams, QuantSpec, fake_quantize, quantize
from qcore import qparams_from_range as of_range

MODES = ["half_even", "half_up", "half_down", "half_toward_zero", "half_away"]
MODES += ["up", "down", "toward_zero"]
FLOATS = ["float8_e4m3fn", "float8_e5m2", "float6_e2m3fn", "float4_e2m1fn"]
HALF = Fraction(1, 2)
WHOLE = {
    "half_even": round,
    "half_up": lambda q: math.floor(q + HALF),
    "half_down": lambda q: math.ceil(q - HALF),
    "half_toward_zero": lambda q: sign(q) * math.ceil(abs(q) - HALF),
    "half_away": lambda q: sign(q) * math.floor(abs(q) + HALF),
    "up": math.ceil,
    "down": math.floor,
    "toward_zero": math.trunc,
}
SCALE = np.float32(0.0371)


def sign(q):
    return -1 if q < 0 else 1


def around_ties(dtype):
    """Return ties, their neighbours, whole numbers and some between, in steps."""
    ties = (np.arange(-40, 41) / 2).astype(dtype)
    beside = [np.nextafter(ties, dtype(end)) for end in (-99, 99)]
    large = [1e6 + 0.5, -1e6 - 0.5, 2.0**23 - 0.5, -(2.0**23) + 0.5, 2.0**24, 2.0**60]
    small = [1e-20, -1e-20, 2.0**-125, -(2.0**-125)]
    between = np.random.default_rng(0).uniform(-20, 20, 200)
    x = np.concatenate([ties, *beside, large, small, between]).astype(dtype)
    return x[(x == 0) | (np.abs(x) >= 2.0**-125)]


def parameters(array, spec, scale=1.0, zero_point=0):
    return QParams(array(np.float32(scale)), array(np.int32(zero_point)), spec)


@pytest.mark.parametrize("mode", MODES)
def test_codes_are_the_rounded_fractions(run, array, to_numpy, mode):
    x = around_ties(np.float32)
    spec = QuantSpec("int16", rounding=mode)
    found = run(quantize, array(x), parameters(array, spec))
    codes = [WHOLE[mode](Fraction(float(q))) for q in x]
    assert to_numpy(found).tolist() == np.clip(codes, -(2**15), 2**15 - 1).tolist()


@pytest.mark.parametrize("mode", MODES)
def test_the_quotient_is_what_is_rounded(run, array, to_numpy, mode):
    x = around_ties(np.float32) * SCALE
    x = x[np.abs(x) > 1e-19]
    spec = QuantSpec("uint8", symmetric=False, rounding=mode)
    found = run(quantize, array(x), parameters(array, spec, SCALE, 20))
    codes = [WHOLE[mode](Fraction(float(q))) + 20 for q in x / SCALE]
    assert to_numpy(found).tolist() == np.clip(codes, 0, 255).tolist()


@pytest.mark.parametrize("mode", MODES)
def test_float64_is_rounded_in_float64(array, to_numpy, mode):
    x = around_ties(np.float64)
    spec = QuantSpec(IntFormat(8, narrow=True), rounding=mode)
    found = fake_quantize(array(x), parameters(array, spec))
    codes = [float(WHOLE[mode](Fraction(q))) for q in x]
    expected = np.clip(codes, -127, 127)
    np.testing.assert_array_equal(to_numpy(found), expected, strict=True)


def levels_of(name):
    """Return the finite numbers of a format in order, and whether a code is even."""
    dtype = getattr(ml_dtypes, name)
    codes = np.arange(2 ** ml_dtypes.finfo(dtype).bits, dtype=np.uint8)
    values = codes.view(dtype).astype(np.float64)
    keep = np.isfinite(values)
    levels, first = np.unique(values[keep], return_index=True)
    return levels, codes[keep][first] % 2 == 0


def rounded(x, name, mode):
    """Choose between the two numbers of the format that enclose each value."""
    levels, even = levels_of(name)
    x = np.clip(x.astype(np.float64), levels[0], levels[-1])
    above = np.searchsorted(levels, x)
    below = np.where(levels[above] == x, above, above - 1)
    low, high = levels[below], levels[above]
    tie = {
        "half_even": even[above],
        "half_up": True,
        "half_down": False,
        "half_toward_zero": x < 0,
        "half_away": x > 0,
    }
    side = {"up": True, "down": False, "toward_zero": x < 0}
    to_high = np.where(x - low == high - x, tie.get(mode), x - low > high - x)
    return np.where(side.get(mode, to_high), high, low)


def around_midpoints(name, dtype):
    levels, _ = levels_of(name)
    points = np.concatenate([levels, (levels[1:] + levels[:-1]) / 2]).astype(dtype)
    beside = [np.nextafter(points, dtype(end)) for end in (-1e9, 1e9)]
    small = np.asarray([1e-20, -1e-20, 1e9, -1e9], dtype)
    points = np.concatenate([points, *beside, small])
    return points[(np.abs(points) > 1e-30) | (points == 0)]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", FLOATS)
def test_floats_are_rounded_between_their_neighbours(run, array, to_numpy, name, mode):
    x = around_midpoints(name, np.float32)
    spec = QuantSpec(name, rounding=mode)

    def both(x, *parameters):
        qparams = QParams(*parameters, spec)
        return fake_quantize(x, qparams), quantize(x, qparams)

    one, zero = array(np.float32(1)), array(np.int32(0))
    values, codes = map(to_numpy, run(both, array(x), one, zero))
    np.testing.assert_array_equal(values, rounded(x, name, mode))
    meant = codes.view(getattr(ml_dtypes, name)).astype(np.float32)
    np.testing.assert_array_equal(meant, values)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["float8_e4m3fn", "float4_e2m1fn"])
def test_float64_is_rounded_to_floats_in_float64(array, to_numpy, name, mode):
    x = around_midpoints(name, np.float64)
    spec = QuantSpec(name, rounding=mode)
    found = fake_quantize(array(x), parameters(array, spec))
    expected = rounded(x, name, mode)
    np.testing.assert_array_equal(to_numpy(found), expected, strict=True)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["int8", "uint4", "float8_e5m2", "float6_e3m2fn"])
def test_no_mode_moves_nan_infinity_or_the_values_of_codes(array, to_numpy, name, mode):
    spec = QuantSpec(name, rounding=mode)
    top = spec.format.max
    bottom = getattr(spec.format, "qmin", -top)
    x = np.float32([np.nan, np.inf, -np.inf, 0, -0.0, 1, 3, top])
    found = fake_quantize(array(x), parameters(array, spec))
    expected = [np.nan, top, bottom, 0, 0, 1, 3, top]
    np.testing.assert_array_equal(to_numpy(found), expected)


@pytest.mark.parametrize(("mode", "codes"), [("up", [1, 0]), ("down", [0, -1])])
def test_what_may_be_subnormal_is_zero_on_every_library(
    run, array, to_numpy, mode, codes
):
    least = np.float32(2.0**-125)
    x = np.float32([least, -least, 2.0**-126, -(2.0**-126), 1e-45, -1e-45])
    spec = QuantSpec("int8", rounding=mode)
    found = run(quantize, array(x), parameters(array, spec))
    assert to_numpy(found).tolist() == [*codes, 0, 0, 0, 0]


@pytest.mark.parametrize("mode", MODES)
def test_zero_points_are_rounded_half_to_even(array, to_numpy, mode):
    spec = QuantSpec("uint8", symmetric=False, rounding=mode)
    lo, hi = array(np.float32([-2.5, -3.5])), array(np.float32([252.5, 251.5]))
    assert to_numpy(of_range(lo, hi, spec).zero_point).tolist() == [2, 4]
