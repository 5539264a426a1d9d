"""Codes are those of ONNX Runtime, and mean what ONNX says."""

import ml_dtypes
import numpy as np
import pytest

from qcore import (
    IntFormat,
    PerBlock,
    PerChannel,
    QParams,
    QuantSpec,
    dequantize,
    fake_quantize,
    parse_format,
    quantize,
)
from tests.qcore.onnx_runtime_codes import (
    FORMATS,
    MINIFLOATS,
    SCALE,
    onnx_codes,
    onnx_sample_codes,
    qparams,
    samples,
)


def test_the_samples_are_a_million_and_have_the_hard_ones():
    x = samples()
    assert len(x) >= 10**6
    assert np.isnan(x).sum() > 1000
    assert ((np.abs(x) < 2.0**-126) & (x != 0)).sum() > 60_000
    quotient = x[: 2**18] / SCALE
    assert (quotient % 1 == 0.5).sum() > 50_000


@pytest.mark.parametrize(("name", "zero_point"), FORMATS)
def test_codes_are_those_of_onnx_runtime(run, array, to_numpy, name, zero_point):
    parameters = (
        qparams(array, SCALE, zero_point, QuantSpec(name, symmetric=False))
        if "int" in name
        else qparams(array, SCALE, 0, QuantSpec(name))
    )
    found = to_numpy(run(quantize, array(samples()), parameters))
    expected = onnx_sample_codes(name, zero_point)
    np.testing.assert_array_equal(found, expected, strict=True)


@pytest.mark.parametrize("name", ["int8", "uint8", "int16", "float8_e4m3fn"])
def test_codes_of_channels_are_those_of_onnx_runtime(run, array, to_numpy, name):
    rng = np.random.default_rng(7)
    x = rng.standard_normal((64, 3, 64)).astype(np.float32)
    scale = rng.uniform(0.001, 0.1, 3).astype(np.float32)
    zero_point = np.int32([0, 5, 100]) * ("int" in name)
    x[:, :, 0] = np.arange(-32, 32)[:, None] * np.float32(0.5) * scale
    spec = QuantSpec(name, PerChannel(1), symmetric="float" in name)
    parameters = QParams(
        array(scale[None, :, None]), array(zero_point[None, :, None]), spec
    )
    found = run(quantize, array(x), parameters)
    expected = onnx_codes(x, scale, zero_point, name, axis=1)
    np.testing.assert_array_equal(to_numpy(found), expected, strict=True)


def test_a_scale_that_jit_knows_is_no_reciprocal(run, array, to_numpy):
    parameters = qparams(array, SCALE, 0, QuantSpec())
    found = run(lambda x: quantize(x, parameters), array(samples()))
    np.testing.assert_array_equal(to_numpy(found), onnx_sample_codes("int8", 0))


@pytest.mark.parametrize("name", ["int8", "int16", "float8_e4m3fn"])
@pytest.mark.parametrize("power", [-126, -122])
def test_the_smallest_scales_tell_subnormal_values_apart(
    run, array, to_numpy, name, power
):
    x = np.arange(-(2**12), 2**12).astype(np.float32) * np.float32(2.0**-136)
    scale = np.float32(2.0**power)
    found = run(quantize, array(x), qparams(array, scale, 0, QuantSpec(name)))
    expected = onnx_codes(x, scale, 0, name)
    np.testing.assert_array_equal(to_numpy(found), expected)


@pytest.mark.parametrize("name", MINIFLOATS)
def test_codes_of_small_floats_are_those_of_ml_dtypes(run, array, to_numpy, name):
    x = samples()
    x = np.where(np.isnan(x), np.float32(1), x)
    with np.errstate(all="ignore"):
        quotient = x / SCALE
    limit = np.float32(ml_dtypes.finfo(getattr(ml_dtypes, name)).max)
    expected = np.clip(quotient, -limit, limit).astype(getattr(ml_dtypes, name))
    found = run(quantize, array(x), qparams(array, SCALE, 0, QuantSpec(name)))
    np.testing.assert_array_equal(to_numpy(found), expected.view(np.uint8))


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("size", [2, 3, 9])
def test_blocks_are_quantized_like_their_slices(array, to_numpy, axis, size):
    rng = np.random.default_rng(8)
    x = rng.standard_normal((4, 5)).astype(np.float32)
    granularity = PerBlock(axis, size)
    shape = granularity.scale_shape(x.shape)
    scale = rng.uniform(0.01, 0.1, shape).astype(np.float32)
    zero_point = rng.integers(0, 255, shape).astype(np.int32)
    spec = QuantSpec("uint8", granularity, symmetric=False)
    found = quantize(array(x), QParams(array(scale), array(zero_point), spec))
    expected = np.zeros(x.shape)
    for place in np.ndindex(*x.shape):
        block = list(place)
        block[axis] //= size
        s, z = scale[tuple(block)], zero_point[tuple(block)]
        expected[place] = min(max(np.rint(x[place] / s) + z, 0), 255)
    np.testing.assert_array_equal(to_numpy(found), expected)


def test_narrow_codes_leave_out_the_lowest(array, to_numpy):
    spec = QuantSpec(IntFormat(8, narrow=True))
    x = array(np.float32([-1e9, -128, -127.4, 127, np.nan]))
    found = to_numpy(quantize(x, qparams(array, 1, 0, spec)))
    assert found.tolist() == [-127, -127, -127, 127, -127]


@pytest.mark.parametrize(("name", "zero_point"), FORMATS)
def test_codes_mean_what_onnx_says(array, to_numpy, name, zero_point):
    fmt = parse_format(name)
    if "float" in name:
        codes = np.arange(256, dtype=np.uint8)
        expected = codes.view(getattr(ml_dtypes, name)).astype(np.float32) * SCALE
        spec = QuantSpec(name)
    else:
        codes = np.arange(fmt.qmin, fmt.qmax + 1).astype(fmt.storage)
        expected = (codes.astype(np.int32) - zero_point).astype(np.float32) * SCALE
        spec = QuantSpec(name, symmetric=False)
    found = dequantize(array(codes), qparams(array, SCALE, zero_point, spec))
    np.testing.assert_array_equal(to_numpy(found), expected, strict=True)


@pytest.mark.parametrize("name", ["int8", "uint8", "int16"])
def test_a_zero_and_what_rounds_to_it_have_the_code_zero(array, to_numpy, name):
    x = array(np.float32([0.0, -0.0, 0.5, -0.5, 1e-45]))
    found = quantize(x, qparams(array, 1, 0, QuantSpec(name)))
    assert to_numpy(found).tolist() == [0] * 5


@pytest.mark.parametrize("name", ["float8_e4m3fn", "float8_e5m2", *MINIFLOATS])
def test_the_sign_of_zero_is_kept_in_codes(array, to_numpy, name):
    x = array(np.float32([0.0, -0.0, 1e-30, -1e-30]))
    found = to_numpy(quantize(x, qparams(array, 1, 0, QuantSpec(name))))
    sign = 2 ** (parse_format(name).bits - 1)
    assert found.tolist() == [0, sign, 0, sign]


def test_codes_live_where_the_data_does(array, device):
    x = array(np.float32([1, 2]))
    parameters = qparams(array, 1, 0, QuantSpec())
    for found in (quantize(x, parameters), fake_quantize(x, parameters)):
        assert type(found) is type(x)
        assert device is None or found.device == device


def test_data_of_no_elements_has_no_codes(array):
    spec = QuantSpec(granularity=PerChannel(0))
    parameters = qparams(array, np.ones((2, 1)), 0, spec)
    x = array(np.zeros((2, 0), np.float32))
    assert quantize(x, parameters).shape == (2, 0)
    assert fake_quantize(x, parameters).shape == (2, 0)


@pytest.mark.parametrize("function", [quantize, fake_quantize])
@pytest.mark.parametrize("dtype", ["int32", "bool", "complex64"])
def test_data_is_floating_point(array, function, dtype):
    parameters = qparams(array, 1, 0, QuantSpec())
    with pytest.raises(TypeError, match=f"data must be floating-point.*; got {dtype}"):
        function(array([1, 0], dtype), parameters)


@pytest.mark.parametrize("function", [quantize, dequantize, fake_quantize])
def test_a_list_is_no_array(array, function):
    with pytest.raises(TypeError, match=r"`x` must be an array of .*; got list"):
        function([1.0], qparams(array, 1, 0, QuantSpec()))


def test_codes_are_of_the_storage_dtype(array):
    parameters = qparams(array, 1, 0, QuantSpec("int4"))
    with pytest.raises(TypeError, match="codes of int4 must be int8; got uint8"):
        dequantize(array([1], "uint8"), parameters)


@pytest.mark.parametrize("function", [quantize, fake_quantize])
def test_scales_fit_the_data(array, function):
    spec = QuantSpec(granularity=PerChannel(1))
    parameters = qparams(array, np.ones((1, 2)), 0, spec)
    with pytest.raises(ValueError, match=r"must have shape \(1, 3\); got \(1, 2\)"):
        function(array(np.ones((4, 3), np.float32)), parameters)
