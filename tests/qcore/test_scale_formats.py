"""Scales that are powers of two, or float8 numbers under a global scale."""

import math
from dataclasses import replace
from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest

from qcore import (
    Histogram,
    IntFormat,
    PerBlock,
    PerChannel,
    PerTensor,
    QParams,
    QuantError,
    QuantSpec,
    calibrate,
    decode_scales,
    encode_scales,
    fake_quantize,
    qparams_from_amax,
    qparams_from_data,
    qparams_from_range,
)

E8M0, E4M3 = "float8_e8m0fnu", "float8_e4m3fn"
TINY = 2.0**-126
LARGEST = float(np.finfo(np.float32).max)
# The largest number of each format and its exponent: tables 1 to 7 of OCP MX v1.0, the
# elements of MXINT8 taken times 64.
TOPS = {
    "float8_e5m2": (57344, 15),
    "float8_e4m3fn": (448, 8),
    "float6_e3m2fn": (28, 4),
    "float6_e2m3fn": (7.5, 2),
    "float4_e2m1fn": (6, 2),
    "int8": (127, 6),
    "uint4": (15, 3),
    "int16": (32767, 14),
}


def magnitudes(top):
    """Return float32 around every limit, and across all exponents."""
    limits = [f * 2.0**e for f in (1, top, top / 2**0.5) for e in range(-130, 126)]
    limits = np.float32([limit for limit in limits if TINY <= limit <= LARGEST])
    beside = [np.nextafter(limits, np.float32(end)) for end in (0, LARGEST)]
    amax = np.concatenate([limits, *beside])
    return amax[amax >= TINY]


def fits_below(amax, top, exponent):
    return Fraction(float(amax)) <= Fraction(top) * Fraction(2) ** exponent


def expected_exponent(amax, name, rounding):
    """Return the exponent of the rule, in exact fractions, and what float32 allows."""
    top, emax = TOPS[name]
    floor = math.frexp(amax)[1] - 1 - emax
    exponent = floor - 1
    if rounding == "floor":
        exponent = floor
    elif rounding == "up":
        while not fits_below(amax, top, exponent):
            exponent += 1
    else:  # log2(amax / top) under exponent + 1/2, squared
        ratio = (Fraction(float(amax)) / Fraction(top)) ** 2
        while ratio >= Fraction(2) ** (2 * exponent + 1):
            exponent += 1
    return min(max(exponent, -126), 127 - 6 * (name == "int8"))


def scales(array, to_numpy, amax, spec):
    return to_numpy(qparams_from_amax(array(np.float32(amax)), spec).scale)


@pytest.mark.parametrize("rounding", ["up", "floor", "nearest"])
@pytest.mark.parametrize("name", TOPS)
def test_a_power_of_two_is_that_of_the_rule(run, array, to_numpy, name, rounding):
    amax = magnitudes(TOPS[name][0])
    spec = QuantSpec(name, scale_format=E8M0, scale_rounding=rounding)
    found = run(lambda amax: qparams_from_amax(amax, spec).scale, array(amax))
    exponents = [expected_exponent(a, name, rounding) for a in amax]
    expected = np.ldexp(np.float32(1), exponents)
    np.testing.assert_array_equal(to_numpy(found), expected, strict=True)


def test_by_default_nothing_saturates(array, to_numpy):
    amax = magnitudes(6)[: -6 * 3]
    spec = QuantSpec("float4_e2m1fn", scale_format=E8M0)
    assert (scales(array, to_numpy, amax, spec) * np.float64(6) >= amax).all()


@pytest.mark.parametrize("name", ["int8", "float8_e4m3fn"])
@pytest.mark.parametrize("scale_format", [E8M0, E4M3])
def test_without_a_normal_amax_the_scale_is_1(array, to_numpy, name, scale_format):
    spec = QuantSpec(name, scale_format=scale_format)
    for amax in ([0.0, -0.0], [1e-45, 1e-39]):
        assert scales(array, to_numpy, amax, spec).tolist() == [1, 1]


@pytest.mark.parametrize("scale_format", [E8M0, E4M3])
def test_no_data_has_scale_1(array, to_numpy, scale_format):
    spec = QuantSpec("int4", PerChannel(0), scale_format=scale_format)
    for shape in [(2, 0), (0, 2)]:
        found = qparams_from_data(array(np.zeros(shape, np.float32)), spec)
        assert to_numpy(found.scale).tolist() == [[1]] * shape[0]


@pytest.mark.parametrize("name", ["int8", "int2", "float4_e2m1fn"])
@pytest.mark.parametrize("scale_format", [E8M0, E4M3])
def test_scales_of_huge_values_are_finite(array, to_numpy, name, scale_format):
    spec = QuantSpec(name, PerChannel(0), scale_format=scale_format)
    x = array(np.float32([[LARGEST], [np.inf], [-np.inf], [LARGEST / 4096]]))
    found = qparams_from_data(x, spec)
    assert np.isfinite(to_numpy(found.scale)).all()
    codes, level = encode_scales(found)
    np.testing.assert_array_equal(
        to_numpy(decode_scales(codes, spec, level)), to_numpy(found.scale)
    )


def test_nan_stays_in_its_block_where_scales_are_powers_of_two(array, to_numpy):
    spec = QuantSpec("int8", PerBlock(0, 2), scale_format=E8M0)
    found = qparams_from_data(array(np.float32([1, np.nan, 127, 3])), spec)
    np.testing.assert_array_equal(to_numpy(found.scale), np.float32([np.nan, 1]))
    codes, _ = encode_scales(found)
    assert to_numpy(codes).tolist() == [255, 127 + 6]


def test_nan_is_in_every_block_under_a_global_scale(array, to_numpy):
    spec = QuantSpec("int8", PerBlock(0, 2), scale_format=E4M3)
    x = array(np.float32([1, np.nan, 127, 3]))
    assert np.isnan(to_numpy(qparams_from_data(x, spec).scale)).all()
    one = array(np.float32(1))
    found = qparams_from_data(x, spec, global_scale=one)
    np.testing.assert_array_equal(to_numpy(found.scale), np.float32([np.nan, 1]))
    assert to_numpy(encode_scales(found)[0])[0] & 0x7F == 0x7F


@pytest.mark.parametrize("rounding", ["up", "floor", "nearest"])
@pytest.mark.parametrize("name", ["uint8", "int4"])
def test_an_asymmetric_power_of_two_is_found_from_the_width(
    array, to_numpy, name, rounding
):
    rng = np.random.default_rng(1)
    lo, hi = -rng.random(500, np.float32), 3 * rng.random(500, np.float32)
    spec = QuantSpec(name, symmetric=False, scale_format=E8M0, scale_rounding=rounding)
    found = qparams_from_range(array(lo), array(hi), spec)
    qmin, qmax = spec.format.qmin, spec.format.qmax
    step = (hi.astype(np.float64) - lo) / (qmax - qmin)
    exponent = {
        "up": np.ceil(np.log2(step)),
        "nearest": np.floor(np.log2(step) + 0.5),
        "floor": np.floor(np.log2(hi.astype(np.float64) - lo))
        - np.floor(np.log2(qmax - qmin)),
    }[rounding]
    scale = np.exp2(exponent)
    np.testing.assert_array_equal(to_numpy(found.scale), scale)
    zero_point = np.clip(np.rint(qmin - lo / scale), qmin, qmax)
    np.testing.assert_array_equal(to_numpy(found.zero_point), zero_point)


@pytest.mark.parametrize("name", ["float4_e2m1fn", "uint8"])
def test_codes_of_powers_of_two_are_those_of_ml_dtypes(run, array, to_numpy, name):
    spec = QuantSpec(name, scale_format=E8M0)
    amax = array(magnitudes(spec.format.max))

    def stored(amax):
        qparams = qparams_from_amax(amax, spec)
        codes, _ = encode_scales(qparams)
        return qparams.scale, codes, decode_scales(codes, spec)

    scale, codes, decoded = map(to_numpy, run(stored, amax))
    expected = scale.astype(ml_dtypes.float8_e8m0fnu).view(np.uint8)
    np.testing.assert_array_equal(codes, expected, strict=True)
    np.testing.assert_array_equal(decoded, scale, strict=True)


@pytest.mark.parametrize(("fmt", "unit"), [("uint8", 1), (IntFormat(8), 1 / 64)])
def test_every_stored_power_of_two_is_read(array, to_numpy, fmt, unit):
    codes = np.arange(256, dtype=np.uint8)
    found = to_numpy(decode_scales(array(codes), QuantSpec(fmt, scale_format=E8M0)))
    values = codes.view(ml_dtypes.float8_e8m0fnu).astype(np.float64) * unit
    expected = np.maximum(values, TINY).astype(np.float32)
    np.testing.assert_array_equal(found, expected, strict=True)


def test_a_narrow_int8_is_stored_like_a_wide_one(array, to_numpy):
    spec = QuantSpec(IntFormat(8, narrow=True), scale_format=E8M0)
    qparams = qparams_from_amax(array(np.float32([127 / 64])), spec)
    assert to_numpy(encode_scales(qparams)[0]).tolist() == [127]


@pytest.mark.parametrize(
    "granularity", [PerTensor(), PerChannel(0), PerBlock(1, 16)], ids=str
)
@pytest.mark.parametrize("scale_format", [E8M0, E4M3])
@pytest.mark.parametrize("method", ["minmax", "mse", "percentile", "entropy"])
def test_calibration_gives_scales_that_can_be_stored(method, scale_format, granularity):
    x = np.random.default_rng(2).standard_normal((3, 40)).astype(np.float32)
    spec = QuantSpec("float4_e2m1fn", scale_format=scale_format)
    found = calibrate(Histogram.of(x, granularity=granularity), spec, method)
    codes, level = encode_scales(found)
    np.testing.assert_array_equal(decode_scales(codes, spec, level), found.scale)
    assert np.abs(fake_quantize(x, found) - x).max() < 1


def test_scales_of_another_kind_are_not_stored(array):
    plain = qparams_from_amax(array(np.float32([1])), QuantSpec("int4"))
    with pytest.raises(QuantError, match="`spec` must have a scale format"):
        encode_scales(plain)
    spec = replace(plain.spec, scale_format=E8M0)
    with pytest.raises(QuantError, match="must have scales of float8_e8m0fnu; got oth"):
        encode_scales(QParams(plain.scale, plain.zero_point, spec))
    spec = replace(plain.spec, scale_format=E4M3)
    with pytest.raises(QuantError, match="must have a global scale"):
        encode_scales(QParams(plain.scale, plain.zero_point, spec))


def test_stored_scales_are_bytes_with_or_without_a_global_scale(array):
    one, codes = array(np.float32(1)), array(np.uint8([1]))
    with pytest.raises(TypeError, match="float8_e8m0fnu must be uint8; got int8"):
        decode_scales(array(np.int8([1])), QuantSpec(scale_format=E8M0))
    with pytest.raises(QuantError, match="`global_scale` must be given with scales"):
        decode_scales(codes, QuantSpec(scale_format=E8M0), one)
    with pytest.raises(QuantError, match="`global_scale` must be given with scales"):
        decode_scales(codes, QuantSpec(scale_format=E4M3))


@pytest.mark.parametrize("scale_format", [None, E8M0])
def test_a_global_scale_is_of_float8_scales(array, scale_format):
    spec, one = QuantSpec(scale_format=scale_format), array(np.float32(1))
    for make in (qparams_from_amax, qparams_from_data):
        with pytest.raises(ValueError, match="`global_scale` must be None unless"):
            make(array(np.float32([1])), spec, global_scale=one)
