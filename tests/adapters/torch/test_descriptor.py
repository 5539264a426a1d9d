"""Descriptors: all keywords of pytorch-quantization, and their way to text and back."""

import copy
import logging
import pickle
from dataclasses import FrozenInstanceError
from typing import Any

import numpy as np
import pytest
import yaml

from qcore import PerBlock, PerChannel, PerTensor, QuantError
from qcore.adapters.torch.quantizer import quant_descs
from qcore.adapters.torch.quantizer.descriptor import (
    QuantDescriptor,
    ScaledQuantDescriptor,
)

MANY: list[dict[str, Any]] = [
    {},
    {"num_bits": 4, "name": "a", "fake_quant": False},
    {"axis": 0},
    {"axis": (1, -1)},
    {"amax": 3.1415926536},
    {"amax": [0.5, 2.0], "unsigned": True},
    {"amax": np.array([[1.0], [2.0]])},
    {"learn_amax": True, "scale_amax": 1.2},
    {"calib_method": "histogram", "num_bins": 512},
    {"calib_method": "percentile", "calib_options": {"percentile": 99.9}},
    {"narrow_range": True},
    {"num_bits": (4, 3)},
    {"format": "nvfp4"},
    {"format": "uint4", "symmetric": False},
    {"block_sizes": {-1: 32}, "scale_format": "float8_e8m0fnu"},
    {"rounding": "half_away", "learn_scale": True},
]


def test_s3_76_the_two_names_are_one_class() -> None:
    assert QuantDescriptor is ScaledQuantDescriptor


def test_s3_77_to_79_the_defaults_are_those_documented() -> None:
    desc = QuantDescriptor()
    assert (desc.num_bits, desc.name, desc.fake_quant) == (8, None, True)
    assert (desc.axis, desc.amax, desc.learn_amax) == (None, None, False)
    assert (desc.scale_amax, desc.calib_method) == (None, "max")
    assert (desc.unsigned, desc.narrow_range) == (False, False)


@pytest.mark.parametrize("given", MANY)
def test_s3_83_the_dict_makes_an_equal_descriptor(given: dict[str, Any]) -> None:
    desc = QuantDescriptor(**given)
    assert QuantDescriptor(**desc.dict()) == desc
    assert set(desc.dict()) == set(given)


@pytest.mark.parametrize("given", MANY)
def test_s3_84_yaml_makes_an_equal_descriptor(given: dict[str, Any]) -> None:
    desc = QuantDescriptor(**given)
    assert QuantDescriptor.from_yaml(desc.to_yaml()) == desc


@pytest.mark.parametrize("given", MANY)
def test_copies_and_pickles_are_equal(given: dict[str, Any]) -> None:
    desc = QuantDescriptor(**given)
    assert copy.deepcopy(desc) == desc == pickle.loads(pickle.dumps(desc))
    assert hash(copy.copy(desc)) == hash(desc)


@pytest.mark.parametrize("given", MANY[1:])
def test_each_keyword_makes_a_difference(given: dict[str, Any]) -> None:
    assert QuantDescriptor(**given) != QuantDescriptor()


def test_s3_84_amax_and_axis_are_readable_in_yaml() -> None:
    text = QuantDescriptor(axis=(0, 1), amax=0.5).to_yaml()
    assert yaml.safe_load(text) == {"axis": [0, 1], "amax": 0.5}


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"num_bits": -1}, ValueError),
        ({"num_bits": (5, 2)}, TypeError),
        ({"num_bits": "8"}, TypeError),
        ({"num_bits": 8.0}, TypeError),
        ({"name": 3}, TypeError),
        ({"amax": "oops"}, TypeError),
        ({"amax": -1.0}, ValueError),
        ({"fake_quant": "no"}, TypeError),
        ({"unsigned": 3}, TypeError),
        ({"scale_amax": "x"}, ValueError),
        ({"scale_amax": -1.0}, ValueError),
        ({"amax": "oops", "learn_amax": True}, TypeError),
        ({"axis": "x"}, TypeError),
        ({"axis": 1.5}, TypeError),
        ({"oops": 1}, TypeError),
        ({"calib_method": "oops"}, TypeError),
        ({"format": "oops"}, QuantError),
        ({"block_sizes": {0: 0}}, ValueError),
        ({"block_sizes": {0: 4, 1: 4}}, TypeError),
        ({"block_sizes": {0: 4}, "axis": 1}, ValueError),
        ({"symmetric": False, "amax": 1.0}, ValueError),
        ({"format": "float8_e5m2", "symmetric": False}, ValueError),
        ({"learn_amax": True, "learn_scale": True}, ValueError),
        ({"learn_amax": True, "fake_quant": False}, ValueError),
    ],
)
def test_s3_80_what_is_wrong_is_refused(
    given: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        QuantDescriptor(**given)


def test_s3_80_zero_bits_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        QuantDescriptor(num_bits=0)
    assert "num_bits is 0" in caplog.text


def test_s3_80_an_integer_amax_is_accepted() -> None:
    assert QuantDescriptor(amax=127).amax == np.float32(127)


def test_s3_80_a_learned_amax_may_have_an_axis() -> None:
    assert QuantDescriptor(axis=0, learn_amax=True).axis == 0


def test_s3_82_properties_are_read_only() -> None:
    with pytest.raises(FrozenInstanceError):
        QuantDescriptor().axis = 1  # type: ignore[misc]


def test_s3_79_amax_is_an_array_of_float32() -> None:
    amax = QuantDescriptor(amax=[0.1, 0.2]).amax
    assert amax.dtype == np.float32
    np.testing.assert_array_equal(amax, np.float32([0.1, 0.2]))


def test_s3_11_the_method_may_be_any_of_the_core() -> None:
    for method in ("max", "histogram", "entropy", "kl", "mse", "percentile", "auto"):
        assert QuantDescriptor(calib_method=method).calib_method == method


def test_the_axis_names_what_is_kept() -> None:
    assert QuantDescriptor().granularity == PerTensor()
    assert QuantDescriptor(axis=(0)).granularity == PerChannel(0)
    assert QuantDescriptor(block_sizes={-1: 16}).granularity == PerBlock(-1, 16)


def test_s3_81_4_3_is_float8_e4m3() -> None:
    assert QuantDescriptor(num_bits=(4, 3)).spec().format.max == 448


def test_a_block_format_brings_its_blocks_and_scales() -> None:
    spec = QuantDescriptor(format="nvfp4").spec()
    assert spec.granularity == PerBlock(-1, 16)
    assert spec.scale_format == "float8_e4m3fn"


def test_blocks_may_lie_along_another_axis() -> None:
    spec = QuantDescriptor(format="mxfp4", block_sizes={1: 8}).spec()
    assert spec.granularity == PerBlock(1, 8)


def test_yaml_of_anything_else_is_refused() -> None:
    with pytest.raises(ValueError, match="mapping"):
        QuantDescriptor.from_yaml("- 1\n- 2")


@pytest.mark.parametrize(
    ("name", "axis", "unsigned"),
    [
        ("QUANT_DESC_8BIT_PER_TENSOR", None, False),
        ("QUANT_DESC_UNSIGNED_8BIT_PER_TENSOR", None, True),
        ("QUANT_DESC_8BIT_CONV1D_WEIGHT_PER_CHANNEL", 0, False),
        ("QUANT_DESC_8BIT_CONV2D_WEIGHT_PER_CHANNEL", 0, False),
        ("QUANT_DESC_8BIT_CONV3D_WEIGHT_PER_CHANNEL", 0, False),
        ("QUANT_DESC_8BIT_LINEAR_WEIGHT_PER_ROW", 0, False),
        ("QUANT_DESC_8BIT_CONVTRANSPOSE1D_WEIGHT_PER_CHANNEL", 1, False),
        ("QUANT_DESC_8BIT_CONVTRANSPOSE2D_WEIGHT_PER_CHANNEL", 1, False),
        ("QUANT_DESC_8BIT_CONVTRANSPOSE3D_WEIGHT_PER_CHANNEL", 1, False),
    ],
)
def test_s3_4_the_predefined_descriptors(
    name: str, axis: int | None, unsigned: bool
) -> None:
    desc = getattr(quant_descs, name)
    assert (desc.num_bits, desc.axis, desc.unsigned) == (8, axis, unsigned)
