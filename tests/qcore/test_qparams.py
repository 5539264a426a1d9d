import hypothesis.strategies as st
import ml_dtypes
import numpy as np
import pytest
from hypothesis import given

from qcore import (
    IntFormat,
    PerBlock,
    PerChannel,
    QuantSpec,
    dequantize,
    qparams_from_amax,
    qparams_from_data,
    qparams_from_range,
    quantize,
)

TINY = np.float32(2.0**-126)
AMAX = np.float32([1e-30, 0.1, 1, 2.5, 6, 127, 3e38])
SYMMETRIC = [
    ("int8", 127),
    (IntFormat(8, narrow=True), 127),
    ("uint8", 255),
    ("int4", 7),
    ("uint4", 15),
    ("int2", 1),
    ("int16", 32767),
    ("uint16", 65535),
    ("float8_e4m3fn", 448),
    ("float8_e5m2", 57344),
    ("float6_e2m3fn", 7.5),
    ("float6_e3m2fn", 28),
    ("float4_e2m1fn", 6),
]
RANGES = np.float32(
    [
        (-1, 3),
        (-3, 1),
        (0.5, 2),
        (-2, -0.5),
        (0, 6),
        (-6, 0),
        (-0.001, 100),
        (-3e38, 3e38),
        (-1e-30, 2e-30),
    ]
)


@pytest.mark.parametrize(("fmt", "top"), SYMMETRIC)
def test_a_symmetric_scale_maps_amax_to_the_highest_code(array, to_numpy, fmt, top):
    found = qparams_from_amax(array(AMAX), QuantSpec(fmt))
    expected = AMAX / np.float32(top)
    np.testing.assert_array_equal(to_numpy(found.scale), expected, strict=True)
    zero_point = np.zeros_like(AMAX, np.int32)
    np.testing.assert_array_equal(to_numpy(found.zero_point), zero_point, strict=True)


def test_a_compiled_scale_is_divided_truly(run, array, to_numpy):
    amax = np.random.default_rng(1).random(10_000, np.float32)
    found = run(lambda amax: qparams_from_amax(amax, QuantSpec()), array(amax))
    np.testing.assert_array_equal(to_numpy(found.scale), amax / np.float32(127))


def test_a_symmetric_range_has_the_larger_magnitude_for_amax(array, to_numpy):
    lo, hi = RANGES.T
    found = qparams_from_range(array(lo), array(hi), QuantSpec("int8"))
    expected = np.maximum(np.abs(lo), np.abs(hi)) / np.float32(127)
    np.testing.assert_array_equal(to_numpy(found.scale), expected)


def test_an_unsigned_symmetric_scale_takes_the_high_end_alone(array, to_numpy):
    lo, hi = np.float32([-3, 1, -5, -5]), np.float32([2, 2, 0, -1])
    found = qparams_from_range(array(lo), array(hi), QuantSpec("uint8"))
    expected = np.float32([2, 2]) / np.float32(255)
    np.testing.assert_array_equal(to_numpy(found.scale), [*expected, 1, 1])


@pytest.mark.parametrize(
    ("fmt", "qmin", "qmax"),
    [
        ("int8", -128, 127),
        ("uint8", 0, 255),
        (IntFormat(8, narrow=True), -127, 127),
        ("int4", -8, 7),
        ("uint2", 0, 3),
        ("int16", -32768, 32767),
        ("uint16", 0, 65535),
    ],
)
def test_an_asymmetric_range_is_widened_to_hold_zero(
    run, array, to_numpy, fmt, qmin, qmax
):
    spec = QuantSpec(fmt, symmetric=False)
    lo, hi = RANGES.T
    found = run(lambda lo, hi: qparams_from_range(lo, hi, spec), array(lo), array(hi))
    lo, hi, steps = np.minimum(lo, 0), np.maximum(hi, 0), np.float32(qmax - qmin)
    scale = hi / steps - lo / steps
    np.testing.assert_array_equal(to_numpy(found.scale), scale, strict=True)
    zero_point = np.clip(np.rint(qmin - lo / scale), qmin, qmax).astype(np.int32)
    np.testing.assert_array_equal(to_numpy(found.zero_point), zero_point, strict=True)


def test_a_compiled_range_is_that_of_the_formula(run, array, to_numpy):
    hi = np.random.default_rng(2).random(10_000, np.float32)
    spec = QuantSpec("uint8", symmetric=False)
    found = run(
        lambda lo, hi: qparams_from_range(lo, hi, spec), array(-hi[::-1]), array(hi)
    )
    lo, steps = -hi[::-1], np.float32(255)
    scale = hi / steps - lo / steps
    np.testing.assert_array_equal(to_numpy(found.scale), scale)
    np.testing.assert_array_equal(to_numpy(found.zero_point), np.rint(-lo / scale))


@given(
    lo=st.floats(-(2.0**100), 2.0**100, width=32),
    hi=st.floats(-(2.0**100), 2.0**100, width=32),
)
@pytest.mark.parametrize("name", ["uint8", "int4"])
def test_zero_is_represented_exactly(array, to_numpy, name, lo, hi):
    spec = QuantSpec(name, symmetric=False)
    found = qparams_from_range(array(np.float32([lo])), array(np.float32([hi])), spec)
    codes = quantize(array(np.float32([0])), found)
    assert to_numpy(dequantize(codes, found)).tolist() == [0]


def test_a_scale_is_a_normal_number(run, array, to_numpy):
    amax = np.float32([TINY, 100 * TINY, 127 * TINY, 254 * TINY])
    found = run(lambda amax: qparams_from_amax(amax, QuantSpec()), array(amax))
    assert to_numpy(found.scale).tolist() == [TINY, TINY, TINY, 2 * TINY]


def test_without_a_normal_amax_the_scale_is_1(run, array, to_numpy):
    amax = array(np.float32([0, 1e-45, np.nextafter(TINY, np.float32(0))]))
    found = run(lambda amax: qparams_from_amax(amax, QuantSpec()), amax)
    assert to_numpy(found.scale).tolist() == [1, 1, 1]


def test_an_empty_asymmetric_range_has_scale_1_and_the_lowest_zero_point(
    array, to_numpy
):
    zero = array(np.float32([0, -0.0, 1e-45]))
    found = qparams_from_range(zero, zero, QuantSpec("int8", symmetric=False))
    assert to_numpy(found.scale).tolist() == [1, 1, 1]
    assert to_numpy(found.zero_point).tolist() == [-128] * 3


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_a_16_bit_scale_is_rounded_up(xp, run, array, to_numpy, name):
    dtype = getattr(ml_dtypes, name, np.float16)
    codes = np.arange(0x7C00 if name == "float16" else 0x7F80, dtype=np.uint16)
    numbers = codes.view(dtype).astype(np.float64)
    scale = np.exp2(np.random.default_rng(3).uniform(-30, 15, 500)).astype(np.float32)
    scale = np.concatenate([scale, np.float32([2**-24, 2**-14, 1, 1 + 2**-7, 65504])])
    expected = numbers[np.searchsorted(numbers, scale)]
    spec = QuantSpec("int2", scale_dtype=name)  # its highest code is 1
    found = run(lambda amax: qparams_from_amax(amax, spec), array(scale)).scale
    assert found.dtype == getattr(xp, name, xp.float32)
    np.testing.assert_array_equal(to_numpy(found).astype(np.float64), expected)


@pytest.mark.parametrize(
    ("name", "largest"), [("float16", 65504), ("bfloat16", 255 * 2.0**120)]
)
def test_a_16_bit_scale_stays_finite(array, to_numpy, name, largest):
    spec = QuantSpec("int2", scale_dtype=name)
    found = qparams_from_amax(array(np.float32([3.4e38])), spec)
    assert float(to_numpy(found.scale)[0]) == largest


def test_the_zero_point_goes_with_the_rounded_scale(array, to_numpy):
    spec = QuantSpec("uint8", symmetric=False, scale_dtype="float16")
    lo, hi = np.float32([-1.0, -0.3]), np.float32([2.0, 0.7])
    found = qparams_from_range(array(lo), array(hi), spec)
    scale = to_numpy(found.scale).astype(np.float32)
    assert to_numpy(found.zero_point).tolist() == np.rint(-lo / scale).tolist()


@pytest.mark.parametrize(
    "spec",
    [
        QuantSpec("int8"),
        QuantSpec("uint8"),
        QuantSpec("uint8", symmetric=False),
        QuantSpec("float8_e4m3fn"),
        QuantSpec("int8", scale_dtype="float16"),
    ],
    ids=str,
)
def test_an_end_of_nan_gives_a_scale_of_nan(array, to_numpy, spec):
    lo, hi = np.float32([np.nan, -1, np.nan]), np.float32([1, np.nan, np.nan])
    found = qparams_from_range(array(lo), array(hi), spec)
    assert np.isnan(to_numpy(found.scale).astype(np.float32)).all()
    assert to_numpy(found.zero_point).tolist() == [0, 0, 0]


def test_amax_of_nan_gives_a_scale_of_nan(run, array, to_numpy):
    amax = array(np.float32([np.nan, 127]))
    found = run(lambda amax: qparams_from_amax(amax, QuantSpec()), amax)
    np.testing.assert_array_equal(to_numpy(found.scale), [np.nan, 1])


def test_float64_ends_are_rounded_to_float32(array, to_numpy):
    amax = np.float64([1 + 2**-30, 127.3])
    found = qparams_from_amax(array(amax), QuantSpec())
    expected = amax.astype(np.float32) / np.float32(127)
    np.testing.assert_array_equal(to_numpy(found.scale), expected, strict=True)


def test_data_decides_its_own_scale(run, array, to_numpy, float_dtype):
    x = array(np.random.default_rng(4).normal(size=(3, 5)), float_dtype)
    found = run(lambda x: qparams_from_data(x, QuantSpec()), x)
    expected = np.abs(to_numpy(x).astype(np.float32)).max() / np.float32(127)
    np.testing.assert_array_equal(to_numpy(found.scale), [[expected]], strict=True)


@pytest.mark.parametrize("axis", [1, -1, (0, 2)])
def test_every_channel_has_its_own_scale(array, to_numpy, axis):
    x = np.random.default_rng(5).normal(size=(2, 3, 4)).astype(np.float32)
    found = qparams_from_data(array(x), QuantSpec(granularity=PerChannel(axis)))
    kept = {a % 3 for a in np.atleast_1d(axis)}
    reduced = tuple(a for a in range(3) if a not in kept)
    expected = np.abs(x).max(axis=reduced, keepdims=True) / np.float32(127)
    np.testing.assert_array_equal(to_numpy(found.scale), expected, strict=True)


@pytest.mark.parametrize(("axis", "size"), [(0, 3), (1, 9)])
def test_every_block_has_the_scale_of_its_slice(array, to_numpy, axis, size):
    x = np.random.default_rng(6).normal(1, 1, size=(4, 5)).astype(np.float32)
    spec = QuantSpec("uint8", PerBlock(axis, size), symmetric=False)
    found = qparams_from_data(array(x), spec)
    starts = range(0, x.shape[axis], size)
    slices = [x.take(range(i, min(i + size, x.shape[axis])), axis) for i in starts]
    ends = [
        np.concatenate([of(part, axis, keepdims=True) for part in slices], axis)
        for of in (np.min, np.max)
    ]
    lo, hi = np.minimum(ends[0], 0), np.maximum(ends[1], 0)
    scale = hi / np.float32(255) - lo / np.float32(255)
    np.testing.assert_array_equal(to_numpy(found.scale), scale, strict=True)
    assert to_numpy(found.zero_point).tolist() == np.rint(-lo / scale).tolist()


def test_no_data_has_scale_1(array, to_numpy):
    found = qparams_from_data(array(np.zeros((0, 3), np.float32)), QuantSpec())
    assert to_numpy(found.scale).tolist() == [[1]]


def test_one_number_has_a_scale_without_axes(array, to_numpy):
    found = qparams_from_data(array(np.float32(-127)), QuantSpec())
    assert found.scale.shape == found.zero_point.shape == ()
    assert float(to_numpy(found.scale)) == 1


def test_amax_alone_makes_no_asymmetric_scale(array):
    with pytest.raises(ValueError, match=r"`spec` must be symmetric .* amax alone"):
        qparams_from_amax(array(AMAX), QuantSpec(symmetric=False))


def test_the_ends_have_one_shape(array):
    with pytest.raises(ValueError, match=r"one shape; got \(1,\) and \(2,\)"):
        qparams_from_range(array(AMAX[:1]), array(AMAX[:2]), QuantSpec())


@pytest.mark.parametrize("dtype", ["int32", "bool"])
def test_a_range_is_floating_point(array, dtype):
    with pytest.raises(TypeError, match=f"must be floating-point .*; got {dtype}"):
        qparams_from_amax(array([1], dtype), QuantSpec())
