import numpy as np
import pytest

from qcore import (
    Histogram,
    PerChannel,
    QuantSpec,
    calibrate,
    qparams_from_weights,
)
from qcore.adapters.onnx.bias_codes import store_bias
from qcore.adapters.onnx.weights import WeightSpec

ONE = np.float32(1)


def real(stored, axis=None):
    shape = [-1 if i == axis else 1 for i in range(stored.codes.ndim)]
    scale, zero = stored.scale, stored.zero_point
    if axis is not None:
        scale, zero = scale.reshape(shape), zero.reshape(shape)
    return (stored.codes.astype(np.int32) - zero.astype(np.int32)) * scale


@pytest.mark.parametrize("axis", [0, 1])
def test_each_channel_has_a_scale(rng, axis):
    weight = rng.normal(size=(3, 4, 5, 5)).astype(np.float32)
    stored = WeightSpec("int8", "minmax", True).store(weight, axis, ONE, None)
    others = tuple(i for i in range(4) if i != axis)
    np.testing.assert_allclose(
        stored.scale, np.abs(weight).max(axis=others) / 127, rtol=1e-6
    )
    assert np.abs(real(stored, axis) - weight).max() <= stored.scale.max() / 2 * 1.0001


@pytest.mark.parametrize(("axis", "per_channel"), [(0, False), (None, True)])
def test_without_channels_there_is_one_scale(rng, axis, per_channel):
    weight = rng.normal(size=(3, 4)).astype(np.float32)
    stored = WeightSpec("int8", "minmax", per_channel).store(weight, axis, ONE, None)
    assert stored.scale.shape == stored.zero_point.shape == ()
    np.testing.assert_allclose(stored.scale, np.abs(weight).max() / 127, rtol=1e-6)


def test_uint8_stands_for_the_same_numbers_as_int8(rng):
    weight = rng.normal(size=(3, 4)).astype(np.float32)
    signed, unsigned = (
        WeightSpec(codes, "minmax", True).store(weight, 0, ONE, None)
        for codes in ("int8", "uint8")
    )
    assert (signed.codes.dtype, unsigned.codes.dtype) == (np.int8, np.uint8)
    np.testing.assert_array_equal(unsigned.zero_point, np.full(3, 128, np.uint8))
    np.testing.assert_array_equal(real(signed, 0), real(unsigned, 0))


@pytest.mark.parametrize("method", ["mse", "percentile", "entropy"])
def test_any_method_can_choose_the_range(rng, method):
    weight = rng.standard_t(3, size=(2, 20_000)).astype(np.float32)
    stored = WeightSpec("int8", method, True).store(weight, 0, ONE, None)
    seen = Histogram.of(weight, bins=512, granularity=PerChannel(0))
    expected = calibrate(seen, QuantSpec(), method).scale[:, 0]
    np.testing.assert_array_equal(stored.scale, expected)
    whole = np.abs(weight).max(axis=1) / np.float32(127)
    assert (stored.scale <= whole).all()
    assert method == "entropy" or (stored.scale < whole).all()


@pytest.mark.parametrize("ratio", [0.0, 7.0])
def test_scales_can_follow_the_output_of_the_layer(rng, ratio):
    weight = rng.normal(size=(4, 50)).astype(np.float32)
    spec = WeightSpec("int8", "output", True)
    stored = spec.store(weight, 0, ONE, None, mean_ratio=ratio)
    chosen = qparams_from_weights(
        weight, QuantSpec(granularity=PerChannel(0)), mean_ratio=ratio
    )
    np.testing.assert_array_equal(stored.scale, chosen.scale[:, 0])


def test_a_bias_has_the_scale_of_the_products():
    bias, scale = np.float32([1.0, -0.26]), np.float32([0.5, 0.01])
    stored = store_bias(bias, scale)
    np.testing.assert_array_equal(stored.codes, np.int32([2, -26]), strict=True)
    assert stored.zero_point is None


@pytest.mark.parametrize("per_channel", [True, False])
def test_scales_leave_the_bias_room_in_32_bits(per_channel):
    weight, bias = np.full((2, 3), 1e-12, np.float32), np.float32([7.0, 0.0])
    x_scale = np.float32(0.01)
    stored = WeightSpec("int8", "minmax", per_channel).store(weight, 0, x_scale, bias)
    codes = store_bias(bias, x_scale * stored.scale)
    np.testing.assert_allclose(codes.codes * codes.scale, bias, rtol=1e-6)
    if per_channel:
        assert stored.scale[1] == np.float32(1e-12) / np.float32(127)


def test_products_of_scales_are_normal_floats():
    weight = np.full((1, 3), 1e-30, np.float32)
    x_scale = np.float32(1e-20)
    stored = WeightSpec("int8", "minmax", True).store(weight, 0, x_scale, None)
    assert x_scale * stored.scale[0] >= np.finfo(np.float32).smallest_normal
