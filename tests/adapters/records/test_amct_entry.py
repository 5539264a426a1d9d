"""What AMCT records of a layer, and what qcore makes of it."""

import numpy as np
import pytest
from array_api_compat import numpy as xp

from qcore import (
    PerChannel,
    QParams,
    QuantError,
    QuantSpec,
    qparams_from_range,
    quantize,
)
from qcore.adapters.records.amct import KVCacheRecord, LayerRecord


def test_scales_are_the_float32_numbers_that_a_file_holds():
    assert KVCacheRecord((0.1,), (0,)).scale == (float(np.float32(0.1)),)


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"scale_d": "a"}, TypeError),
        ({"scale_w": 0.5}, TypeError),
        ({"dst_type": 8}, TypeError),
        ({"skip_fusion": 1}, TypeError),
        ({"offset_d": 0.5}, TypeError),
        ({"offset_w": (2**31,)}, QuantError),
        ({"shift_bit": (-1,)}, QuantError),
        ({"scale_d": 1e39}, QuantError),
    ],
)
def test_what_no_file_can_hold_is_refused(fields, error):
    with pytest.raises(error, match=f"`{next(iter(fields))}` must"):
        LayerRecord(**fields)


def test_offsets_are_zero_points():
    qparams = KVCacheRecord((0.5, 0.25), (-4, 7)).qparams(ndim=2, xp=xp)
    x = np.float32([[0.0, 0.0], [3.0, 3.0]])
    expected = np.round(x / np.float64([0.5, 0.25])) + np.int32([-4, 7])
    np.testing.assert_array_equal(quantize(x, qparams), expected)
    assert not qparams.spec.symmetric


def test_several_scales_lie_along_the_last_axis():
    record = KVCacheRecord((0.5, 0.25), (0, 0))
    qparams = record.qparams("int4", ndim=4, xp=xp)
    assert qparams.scale.shape == (1, 1, 1, 2)
    assert qparams.spec == QuantSpec("int4", granularity=PerChannel(-1))
    assert KVCacheRecord((0.5,), (1,)).qparams(ndim=4, xp=xp).scale.shape == ()


def test_a_record_of_qparams_gives_them_back():
    spec = QuantSpec("int8", granularity=PerChannel(-1), symmetric=False)
    lo, hi = np.float32([[-1.0, -0.2]]), np.float32([[0.5, 3.0]])
    qparams = qparams_from_range(lo, hi, spec)
    again = KVCacheRecord.of(qparams).qparams(ndim=2, xp=xp)
    np.testing.assert_array_equal(again.scale, qparams.scale)
    np.testing.assert_array_equal(again.zero_point, qparams.zero_point)
    assert again.spec == spec


def test_unsigned_codes_are_recorded_as_signed_ones():
    spec = QuantSpec("uint8", symmetric=False)
    qparams = qparams_from_range(np.float32(-1.0), np.float32(3.0), spec)
    x = np.linspace(-1.5, 3.5, 101, dtype=np.float32)
    again = KVCacheRecord.of(qparams).qparams(xp=xp)
    codes = quantize(x, qparams).astype(int)
    np.testing.assert_array_equal(quantize(x, again), codes - 128)


def test_a_layer_gives_its_qparams_and_takes_them():
    data = KVCacheRecord((0.05,), (-3,)).qparams(xp=xp)
    weight = KVCacheRecord((0.5, 0.25), (0, 0)).qparams("int4", xp=xp)
    layer = LayerRecord.of(data=data, weight=weight)
    expected = LayerRecord(0.05, -3, (0.5, 0.25), (0, 0), wts_type="INT4")
    assert layer == expected
    assert layer.data_qparams(xp=xp).spec == QuantSpec("int8", symmetric=False)
    found = layer.weight_qparams(3, xp=xp)
    assert found.scale.shape == (2, 1, 1)
    assert found.spec == QuantSpec("int4", granularity=PerChannel(0))


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (KVCacheRecord(), "one at least; got 0 and 0"),
        (KVCacheRecord((1, 2), (0,)), "as many scales as offsets"),
        (KVCacheRecord((0,), (0,)), "positive normal number; got 0.0"),
        (KVCacheRecord((float("nan"),), (0,)), "positive normal number; got nan"),
        (KVCacheRecord((float("inf"),), (0,)), "positive normal number; got inf"),
        (KVCacheRecord((1,), (128,)), "code of int8; got 128"),
    ],
)
def test_factors_that_make_no_codes_are_refused(record: KVCacheRecord, message: str):
    with pytest.raises(QuantError, match=message):
        record.qparams(xp=xp)


@pytest.mark.parametrize(
    ("scale", "spec"),
    [
        (np.ones((2, 2), np.float32), QuantSpec(granularity=PerChannel((0, 1)))),
        (np.float32(1), QuantSpec("float8_e4m3fn")),
        (np.float32("nan"), QuantSpec("int8")),
    ],
)
def test_scales_that_no_record_can_say_are_refused(scale, spec: QuantSpec):
    scale = np.asarray(scale)
    qparams = QParams(scale, np.zeros_like(scale, np.int32), spec)
    with pytest.raises(QuantError):
        KVCacheRecord.of(qparams)


def test_weights_of_a_layer_have_no_offset():
    weight = KVCacheRecord((0.5,), (3,)).qparams(xp=xp)
    with pytest.raises(QuantError, match="`weight` must have no offset"):
        LayerRecord.of(weight=weight)
