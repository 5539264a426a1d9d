"""Fake quantization is what the codes mean, in the dtype of the data."""

import hypothesis.strategies as st
import ml_dtypes
import numpy as np
import pytest
from hypothesis import given

from qcore import QuantSpec, dequantize, fake_quantize, quantize
from tests.qcore.onnx_runtime_codes import (
    MINIFLOATS,
    SCALE,
    onnx_codes,
    onnx_sample_codes,
    qparams,
    samples,
)


@pytest.mark.parametrize(("name", "zero_point"), [("int8", -7), ("uint16", 32768)])
def test_fake_quantize_is_what_the_codes_mean(run, array, to_numpy, name, zero_point):
    x = samples()[~np.isnan(samples())]
    codes = onnx_sample_codes(name, zero_point)[~np.isnan(samples())]
    parameters = qparams(array, SCALE, zero_point, QuantSpec(name, symmetric=False))
    found = run(fake_quantize, array(x), parameters)
    expected = (codes.astype(np.int32) - zero_point).astype(np.float32) * SCALE
    np.testing.assert_array_equal(to_numpy(found), expected, strict=True)


@pytest.mark.parametrize("name", ["float8_e4m3fn", "float8_e5m2"])
def test_fake_quantize_of_floats_is_what_the_codes_mean(run, array, to_numpy, name):
    codes = onnx_sample_codes(name, 0).view(getattr(ml_dtypes, name))
    found = run(
        fake_quantize, array(samples()), qparams(array, SCALE, 0, QuantSpec(name))
    )
    expected = codes.astype(np.float32) * SCALE
    np.testing.assert_array_equal(to_numpy(found), expected, strict=True)


@pytest.mark.parametrize(
    "name", ["int8", "uint4", "int16", "float8_e4m3fn", *MINIFLOATS]
)
def test_fake_quantize_keeps_nan(array, to_numpy, name):
    x = array(np.float32([np.nan, 0, -np.nan]))
    found = fake_quantize(x, qparams(array, SCALE, 0, QuantSpec(name)))
    np.testing.assert_array_equal(to_numpy(found), [np.nan, 0, np.nan])


@pytest.mark.parametrize("name", ["int8", "uint8", "float8_e5m2"])
def test_16_bit_floats_are_computed_in_float32(xp, array, to_numpy, float_dtype, name):
    bits = np.arange(2**16, dtype=np.uint16)
    values = bits.view(getattr(ml_dtypes, float_dtype, np.float16))
    with np.errstate(invalid="ignore"):  # casts of NaN
        x = array(values, float_dtype)
    values = to_numpy(x)
    codes = onnx_codes(values.astype(np.float32), SCALE, 0, name)
    parameters = qparams(array, SCALE, 0, QuantSpec(name))
    np.testing.assert_array_equal(to_numpy(quantize(x, parameters)), codes)

    found = fake_quantize(x, parameters)
    if "float" in name:
        codes = codes.view(getattr(ml_dtypes, name))
    real = np.where(np.isnan(values), np.nan, codes.astype(np.float32) * SCALE)
    assert found.dtype == getattr(xp, float_dtype)
    with np.errstate(invalid="ignore"):
        expected = real.astype(np.float32).astype(values.dtype)  # rounded once
    found, expected = (y.astype(np.float32) for y in (to_numpy(found), expected))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("name", "tie", "below", "above"),
    [
        ("int8", 2.5, 2, 3),
        ("uint16", 2.5, 2, 3),
        ("float8_e4m3fn", 17, 16, 18),
        ("float8_e5m2", 9, 8, 10),
        ("float4_e2m1fn", 2.5, 2, 3),
    ],
)
def test_float64_is_divided_in_float64(array, to_numpy, name, tie, below, above):
    x = np.float64([tie - 2.0**-40, tie, tie + 2.0**-40])  # float32 has the tie alone
    parameters = qparams(array, 0.25, 0, QuantSpec(name))
    found = fake_quantize(array(x / 4), parameters)
    expected = np.float64([below, below, above]) / 4
    np.testing.assert_array_equal(to_numpy(found), expected, strict=True)
    codes = quantize(array(x / 4), parameters)
    np.testing.assert_array_equal(to_numpy(dequantize(codes, parameters)), expected)


@given(x=st.floats(-100, 100, width=32), scale=st.floats(2**-10, 1, width=32))
def test_in_range_the_error_is_half_a_step_at_most(array, to_numpy, x, scale):
    parameters = qparams(array, [scale], 0, QuantSpec("int16"))
    (found,) = to_numpy(fake_quantize(array(np.float32([x])), parameters))
    error = abs(float(found) - min(max(x, -32768 * scale), 32767 * scale))
    assert error <= scale / 2 * (1 + 2**-6)


@given(x=st.lists(st.floats(width=32, allow_nan=False), min_size=8, max_size=8))
@pytest.mark.parametrize("name", ["int4", "float4_e2m1fn"])
def test_quantizing_twice_is_quantizing_once(array, to_numpy, name, x):
    parameters = qparams(array, [SCALE], 0, QuantSpec(name))
    once = fake_quantize(array(np.float32(x)), parameters)
    twice = fake_quantize(once, parameters)
    np.testing.assert_array_equal(to_numpy(twice), to_numpy(once))


@given(x=st.lists(st.floats(width=32, allow_nan=False), min_size=8, max_size=8))
@pytest.mark.parametrize("name", ["int8", "float8_e4m3fn"])
def test_larger_values_never_have_smaller_codes(array, to_numpy, name, x):
    parameters = qparams(array, [SCALE], 0, QuantSpec(name))
    found = to_numpy(fake_quantize(array(np.sort(np.float32(x))), parameters))
    assert (np.diff(found) >= 0).all()
