"""S3.76 to 84: descriptors."""

import logging
import re
from typing import Any

import numpy as np
import pytest
import torch

from qcore.adapters.torch import tensor_quant
from qcore.adapters.torch.calib import HistogramCalibrator, MaxCalibrator
from qcore.adapters.torch.tensor_quant import QuantDescriptor
from tests.adapters.torch.acceptance import (
    int8,
    normal,
    quantizer,
)


def test_s3_76_the_descriptor_has_two_names() -> None:
    assert tensor_quant.QuantDescriptor is tensor_quant.ScaledQuantDescriptor
    found = QuantDescriptor(4, "activations")
    assert (found.num_bits, found.name) == (4, "activations")


def test_s3_77_fake_quantization_is_the_default() -> None:
    assert QuantDescriptor().fake_quant is True
    scale = torch.tensor(1.0) / 127
    codes = quantizer(amax=1.0, fake_quant=False)(normal(50))
    assert torch.equal(codes * scale, quantizer(amax=1.0)(normal(50)))


@pytest.mark.parametrize(
    ("axis", "shape"),
    [
        (None, ()),
        (1, (1, 3, 1)),
        (-1, (1, 1, 4)),
        (-3, (2, 1, 1)),
        ((0, -1), (2, 1, 4)),
    ],
)
def test_s3_78_axes_are_kept_and_may_be_negative(axis: Any, shape: Any) -> None:
    found = quantizer(axis=axis)
    found.enable_calib()
    found(normal(2, 3, 4))
    found.load_calib_amax()
    assert found.amax.shape == shape


@pytest.mark.parametrize("axis", [3, -4, (0, 3)])
def test_s3_78_an_axis_beyond_the_rank_is_refused(axis: Any) -> None:
    with pytest.raises(ValueError, match="axis"):
        quantizer(axis=axis)(normal(2, 3, 4))


@pytest.mark.parametrize(
    "amax", [0.5, [[0.5], [1.0]], np.array([[0.5], [1.0]], dtype=np.float32)]
)
def test_s3_79_amax_wins_over_axis(amax: Any) -> None:
    x = normal(2, 9)
    assert torch.equal(quantizer(axis=1, amax=amax)(x), int8(x, torch.tensor(amax)))


def test_s3_79_amax_seeds_the_learned_range_and_scale_amax_multiplies() -> None:
    found = quantizer(amax=3.0, learn_amax=True)
    assert found.clip.clip_value_max == 3
    assert torch.equal(
        quantizer(amax=2.0, scale_amax=0.25)(normal(50)), int8(normal(50), 0.5)
    )


@pytest.mark.parametrize(
    ("method", "cls"), [("max", MaxCalibrator), ("histogram", HistogramCalibrator)]
)
def test_s3_79_the_calibrator_is_the_one_named(method: str, cls: type) -> None:
    assert type(quantizer(calib_method=method)._calibrator) is cls


def test_s3_79_the_other_defaults_are_the_documented_ones() -> None:
    found = QuantDescriptor()
    assert found.calib_method == "max"
    assert (found.learn_amax, found.unsigned, found.narrow_range) == (False,) * 3
    assert (found.axis, found.amax, found.scale_amax, found.name) == (None,) * 4


def test_s3_80_a_negative_width_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="num_bits"):
        QuantDescriptor(num_bits=-1)


@pytest.mark.parametrize(
    "given",
    [
        {"num_bits": (5, 2)},
        {"num_bits": "8"},
        {"name": 8},
        {"amax": "1"},
        {"amax": {1.0}},
        {"unknown": 1},
    ],
)
def test_s3_80_wrong_kinds_are_type_errors(given: Any) -> None:
    with pytest.raises(TypeError, match=next(iter(given))):
        QuantDescriptor(**given)


def test_s3_80_zero_bits_are_logged_and_give_zeros(
    caplog: pytest.LogCaptureFixture,
) -> None:
    found = quantizer(num_bits=0)
    assert caplog.records[0].levelno == logging.ERROR
    assert torch.equal(found(normal(5)), torch.zeros(5))


def test_s3_80_an_integer_amax_and_a_learned_range_with_an_axis_are_accepted() -> None:
    assert QuantDescriptor(amax=2) == QuantDescriptor(amax=2.0)
    assert QuantDescriptor(learn_amax=True, axis=0).learn_amax


def test_s3_81_a_pair_of_widths_is_e4m3() -> None:
    x, scale = normal(1000), torch.tensor(2.0) / 448
    cast = (x / scale).clamp(-448, 448).to(torch.float8_e4m3fn)
    assert torch.equal(quantizer(num_bits=(4, 3), amax=2.0)(x), cast.float() * scale)


@pytest.mark.parametrize(
    "name",
    [
        "fake_quant",
        "name",
        "learn_amax",
        "scale_amax",
        "axis",
        "calib_method",
        "num_bits",
        "amax",
        "unsigned",
    ],
)
def test_s3_82_properties_of_a_descriptor_are_read_only(name: str) -> None:
    desc = QuantDescriptor()
    with pytest.raises(AttributeError):
        setattr(desc, name, getattr(desc, name))


EVERYTHING = {
    "num_bits": 4,
    "name": "w",
    "fake_quant": False,
    "axis": (0, -1),
    "amax": [[1.0, 2.0]],
    "scale_amax": 0.5,
    "calib_method": "histogram",
    "unsigned": True,
    "narrow_range": True,
}


def test_s3_83_dict_has_what_is_no_default_and_makes_an_equal_one() -> None:
    assert QuantDescriptor().dict() == {}
    assert QuantDescriptor(**EVERYTHING).dict() == EVERYTHING
    assert QuantDescriptor(**QuantDescriptor(**EVERYTHING).dict()) == (
        QuantDescriptor(**EVERYTHING)
    )


@pytest.mark.parametrize(
    "given", [EVERYTHING, {"axis": 0, "amax": 1.5}, {"learn_amax": True}, {}]
)
def test_s3_84_yaml_brings_every_keyword_back(given: Any) -> None:
    desc = QuantDescriptor(**given)
    assert QuantDescriptor.from_yaml(desc.to_yaml()) == desc


def test_s3_84_yaml_is_readable() -> None:
    written = QuantDescriptor(axis=0, amax=[1.5, 2.0]).to_yaml()
    assert re.sub(r"\s+", " ", written).strip() == "axis: 0 amax: - 1.5 - 2.0"
