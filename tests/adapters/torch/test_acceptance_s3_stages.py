"""S3.50 to 56: stages, errors and state dicts."""

import logging
from typing import Any

import pytest
import torch

from qcore.adapters.torch import enable_onnx_export
from qcore.adapters.torch.nn import TensorQuantizer
from qcore.adapters.torch.tensor_quant import QuantDescriptor
from tests.adapters.torch.acceptance import int8, normal, quantizer


def test_s3_50_calibration_and_quantization_are_switched() -> None:
    found, x = quantizer(), normal(50)
    found.enable_calib()
    found.disable_quant()
    assert torch.equal(found(x), x)
    found.disable_calib()
    found(100 * x)
    found.load_calib_amax()
    found.enable_quant()
    assert torch.equal(found(2 * x), int8(2 * x, x.abs().max()))


def test_s3_51_clipping_needs_a_learned_range() -> None:
    with pytest.raises(ValueError, match="learn_amax"):
        quantizer().enable_clip()


def test_s3_51_calibrating_needs_a_calibrator() -> None:
    found = quantizer()
    found._calibrator = None
    with pytest.raises(ValueError, match="Calibrator was not created"):
        found.enable_calib()


def test_s3_51_amax_keeps_its_shape() -> None:
    with pytest.raises(RuntimeError, match="shape"):
        quantizer(amax=1.0).amax = torch.ones(2)


def test_s3_51_setting_none_is_logged_and_ignored(
    caplog: pytest.LogCaptureFixture,
) -> None:
    found = quantizer(amax=1.0)
    found.amax = None
    assert found.amax == 1
    assert "None" in caplog.text


def test_s3_52_loading_what_was_not_collected_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="hasn't seen any tensor"):
        quantizer().load_calib_amax()
    with pytest.raises(RuntimeError):
        quantizer(calib_method="histogram").load_calib_amax("mse")


def test_s3_52_not_strict_it_warns_and_amax_is_nan(
    caplog: pytest.LogCaptureFixture,
) -> None:
    found = quantizer()
    found.load_calib_amax(strict=False)
    assert found.amax.isnan()
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_s3_53_a_disabled_quantizer_still_multiplies() -> None:
    found = TensorQuantizer(disabled=True)
    found.pre_quant_scale = 3.0
    assert torch.equal(found(normal(50)), 3 * normal(50))


def test_s3_53_scaling_calibration_clipping_and_quantization_follow() -> None:
    desc = QuantDescriptor(amax=0.5, learn_amax=True)
    found, x = TensorQuantizer(desc, if_clip=True, if_calib=True), normal(50)
    found.pre_quant_scale = 2.0
    torch.testing.assert_close(found(x), int8((2 * x).clamp(-0.5, 0.5), 0.5))
    assert found._calibrator.compute_amax() == (2 * x).abs().max()


def test_s3_53_an_export_is_refused_before_calibration() -> None:
    with enable_onnx_export(), pytest.raises(RuntimeError, match="calibrated"):
        quantizer()(normal(5))


@pytest.mark.parametrize("fake_quant", [False, True])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_s3_53_the_dtype_is_that_of_the_input(
    fake_quant: bool, dtype: torch.dtype
) -> None:
    assert quantizer(fake_quant=fake_quant)(normal(5).to(dtype)).dtype == dtype


def test_s3_54_a_learned_range_starts_at_the_calibrated_one() -> None:
    found = quantizer(amax=1.0, learn_amax=True)
    found.amax = torch.tensor(2.5)
    found.init_learn_amax()
    assert found.clip.clip_value_max == 2.5
    assert found.clip.clip_value_min == -2.5


def test_s3_54_of_several_ranges_it_starts_at_the_largest_with_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    found = quantizer(amax=[1.0, 4.0, 2.0], axis=0, learn_amax=True)
    found.init_learn_amax()
    assert found.clip.clip_value_max == 4
    assert logging.WARNING in {record.levelno for record in caplog.records}


def test_s3_54_without_a_learned_range_it_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="learn_amax"):
        quantizer(amax=1.0).init_learn_amax()


def test_s3_55_buffers_are_created_on_load_where_the_module_is(
    caplog: pytest.LogCaptureFixture,
) -> None:
    state = {"_amax": torch.tensor(2.0), "_pre_quant_scale": torch.tensor(3.0)}
    found = quantizer()
    found.load_state_dict(state)
    assert found.state_dict() == state
    assert found.amax.device == torch.get_default_device()
    assert not caplog.records
    found.load_state_dict(state)
    assert "amax is overwritten" in caplog.text


def test_s3_56_the_switch_of_the_export_is_an_attribute_of_the_class() -> None:
    assert TensorQuantizer._enable_onnx_export is False
    with enable_onnx_export():
        assert quantizer()._enable_onnx_export is True
    assert TensorQuantizer._enable_onnx_export is False


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, 127),
        ({"unsigned": True}, 255),
        ({"num_bits": 4}, 7),
        ({"num_bits": (4, 3)}, 448),
    ],
)
def test_s3_56_maxbound_is_the_largest_code(given: Any, expected: float) -> None:
    assert quantizer(**given).maxbound == expected
