from copy import copy
from dataclasses import replace

import pytest

from qcore import IntFormat, PerBlock, PerChannel, PerTensor, QParams, QuantSpec


def test_the_default_is_int8_per_tensor_symmetric():
    assert QuantSpec() == QuantSpec(IntFormat(8), PerTensor(), symmetric=True)


def test_a_name_becomes_a_format():
    assert QuantSpec("uint4").format == IntFormat(4, signed=False)


def test_a_name_becomes_a_format_in_a_changed_spec():
    spec = replace(QuantSpec("uint4", symmetric=False), format="int2")
    assert spec == copy(spec) == QuantSpec(IntFormat(2), symmetric=False)


def test_equal_specs_are_one_key():
    one = QuantSpec("int4", PerChannel((0, 2)), symmetric=False)
    other = QuantSpec("int4", PerChannel((0, 2)), symmetric=False)
    assert {one: 1}[other] == 1
    assert one != QuantSpec("int4", PerBlock(0, 2), symmetric=False)


def test_specs_and_qparams_are_frozen():
    with pytest.raises(AttributeError):
        QuantSpec().symmetric = False
    with pytest.raises(AttributeError):
        QParams(1.0, 0, QuantSpec()).scale = 2.0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"format": "float8_e4m3fn", "symmetric": False}, "float8_e4m3fn must be symm"),
        ({"format": "float8_e8m0fnu"}, "float8_e8m0fnu is a format of scales"),
        ({"format": "int88"}, "did you mean 'int8'"),
        ({"rounding": "even"}, "`rounding` must be one of .*; got 'even'"),
        ({"scale_dtype": "float64"}, "`scale_dtype` must be one of .*; got 'float64'"),
        ({"scale_rounding": "up"}, "`scale_rounding` must be one of"),
        ({"scale_rounding": "up"}, "for the scale format None; got 'up'"),
        ({"scale_format": "float8_e5m2"}, "`scale_format` must be one of"),
        (
            {"scale_format": "float8_e8m0fnu", "scale_rounding": "half_even"},
            "for the scale format 'float8_e8m0fnu'; got 'half_even'",
        ),
        (
            {"scale_format": "float8_e4m3fn", "scale_rounding": "floor"},
            "for the scale format 'float8_e4m3fn'; got 'floor'",
        ),
        (
            {"scale_format": "float8_e8m0fnu", "scale_dtype": "float16"},
            "`scale_dtype` must be 'float32' for scales of float8_e8m0fnu",
        ),
        (
            {"scale_format": "float8_e4m3fn", "symmetric": False},
            "`symmetric` must be true for scales of float8_e4m3fn",
        ),
    ],
)
def test_a_contradiction_is_refused(options, said):
    with pytest.raises(ValueError, match=said):
        QuantSpec(**options)


@pytest.mark.parametrize("granularity", [0, "channel", None])
def test_what_is_no_granularity_is_refused(granularity):
    with pytest.raises(TypeError, match=r"`granularity` must be PerTensor\(\)"):
        QuantSpec(granularity=granularity)


def test_the_class_in_place_of_a_granularity_is_refused():
    with pytest.raises(TypeError, match=r"`granularity` must be PerTensor\(\)"):
        QuantSpec(granularity=PerTensor)
