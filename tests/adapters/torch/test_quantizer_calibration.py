"""A quantizer that calibrates, learns, prints and takes any data."""

from typing import Any

import numpy as np
import pytest
import torch

from qcore.adapters.torch.calib import HistogramCalibrator, MaxCalibrator
from qcore.adapters.torch.nn.modules.tensor_quantizer import TensorQuantizer
from tests.adapters.torch.tensor_quantizers import quantizer, reference


@pytest.fixture
def x() -> torch.Tensor:
    return torch.randn(5, 7, generator=torch.Generator().manual_seed(0))


def test_s3_11_calibration_finds_the_largest_of_all_batches() -> None:
    q = quantizer("calib", axis=0)
    batches = [torch.randn(4, 6), torch.randn(4, 6)]
    for batch in batches:
        q(batch)
    q.load_calib_amax()
    expected = torch.stack(batches).abs().amax((0, 2)).reshape(4, 1)
    assert torch.equal(q.amax, expected)


def test_s3_52_nothing_collected_is_an_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    q = TensorQuantizer()
    with pytest.raises(RuntimeError, match="Calibrator returned None"):
        q.load_calib_amax()
    q.load_calib_amax(strict=False)
    assert torch.isnan(q.amax)
    assert "Calibrator returned None" in caplog.text


@pytest.mark.parametrize(
    ("method", "options"),
    [("entropy", {}), ("percentile", {"percentile": 99.9}), ("mse", {"stride": 4})],
)
def test_s3_27_other_methods_need_no_other_data(
    x: torch.Tensor, method: str, options: dict[str, Any]
) -> None:
    q = quantizer("calib", calib_method="histogram")
    q(x)
    assert isinstance(q._calibrator, HistogramCalibrator)
    q.load_calib_amax("max")
    q.load_calib_amax(method, **options)
    assert q.amax == q._calibrator.compute_amax(method, **options)
    q.load_calib_amax(method=method, **options)


def test_s3_11_a_named_method_is_the_default(x: torch.Tensor) -> None:
    q = quantizer("calib", calib_method="percentile", calib_options={"percentile": 50})
    q(x)
    q.load_calib_amax()
    assert q.amax < x.abs().max() / 2


def test_s3_11_a_histogram_without_a_method_is_a_type_error(x: torch.Tensor) -> None:
    q = quantizer("calib", calib_method="histogram")
    q(x)
    with pytest.raises(TypeError, match="'entropy', 'mse', 'percentile', 'auto'"):
        q.load_calib_amax()


def test_s3_54_a_learned_range_starts_at_the_calibrated_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    q = quantizer("calib", learn_amax=True, axis=0)
    data = torch.randn(4, 6)
    q(data)
    q.load_calib_amax()
    q.init_learn_amax()
    assert q.clip.clip_value_max == data.abs().max() == -q.clip.clip_value_min
    assert "largest" in caplog.text


def test_s3_54_without_a_learned_range_that_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="learn_amax"):
        quantizer(amax=1.0).init_learn_amax()


def test_s3_53_a_scale_before_all_else_multiplies(x: torch.Tensor) -> None:
    q = quantizer(amax=1.0)
    q.pre_quant_scale = torch.full((7,), 0.5)
    assert torch.equal(q(x), reference(x * 0.5, 1.0))
    q.disable()
    assert torch.equal(q(x), x * 0.5)


def test_s3_53_the_order_is_calibration_then_clipping(x: torch.Tensor) -> None:
    q = quantizer("calib", "clip", amax=0.5, learn_amax=True)
    q(x)
    assert q._calibrator.compute_amax() == x.abs().max()


def test_s3_26_the_printed_form() -> None:
    q = quantizer(amax=2.64)
    assert str(q) == (
        "TensorQuantizer(8bit fake per-tensor amax=2.6400 "
        "calibrator=MaxCalibrator(track_amax=False) quant)"
    )


def test_s3_26_the_printed_form_per_channel() -> None:
    q = quantizer(axis=(0))
    q.amax = np.linspace(0, 0.7817, 64).reshape(64, 1, 1, 1)
    assert str(q) == (
        "TensorQuantizer(8bit fake axis=(0) amax=[0.0000, 0.7817](64) "
        "calibrator=MaxCalibrator(track_amax=False) quant)"
    )


def test_the_printed_form_before_calibration() -> None:
    q = quantizer("calib", num_bits=4, unsigned=True, narrow_range=False)
    assert "unsigned 4bit" in str(q)
    assert "amax=dynamic" in str(q)
    assert str(q).endswith("quant calib)")
    q.disable()
    assert str(q) == "TensorQuantizer(disabled)"


def test_s3_25_the_default_calibrator_is_max() -> None:
    assert isinstance(TensorQuantizer()._calibrator, MaxCalibrator)


def test_an_asymmetric_range_has_two_ends() -> None:
    q = quantizer("calib", symmetric=False)
    data = torch.rand(1000) + 1
    q(data)
    q.load_calib_amax()
    q.disable_calib()
    scale = data.max() / 255  # zero is held
    codes = (data / scale).round() - 128
    assert torch.equal(q(data), (codes.clamp(-128, 127) + 128) * scale)


def test_blocks_share_scales() -> None:
    data = torch.randn(3, 40)
    found = quantizer(num_bits=4, block_sizes={-1: 16})(data)
    for begin in (0, 16, 32):
        block = data[:, begin : begin + 16]
        expected = reference(block, block.abs().amax(1, keepdim=True), -8, 7)
        assert torch.equal(found[:, begin : begin + 16], expected)


def test_a_learned_scale_has_the_gradient_of_lsq() -> None:
    data = torch.tensor([0.26, -0.71, 0.9, -3.0], requires_grad=True)
    q = quantizer(amax=1.75, num_bits=4, learn_scale=True)  # step 0.25
    q(data).sum().backward()
    inside = sum(round(v / 0.25) - v / 0.25 for v in (0.26, -0.71, 0.9))
    expected = (inside - 8) / (4 * 7) ** 0.5
    assert float(q.learned_scale.grad) == pytest.approx(expected, rel=1e-5)
    assert data.grad.tolist() == [1, 1, 1, 0]


@pytest.mark.parametrize("fake", [True, False])
def test_s3_3_gradients_pass_straight_through(x: torch.Tensor, fake: bool) -> None:
    q = quantizer(amax=1.0, fake_quant=fake)
    data = x.clone().requires_grad_()
    q(data).sum().backward()
    codes = (x / (1 / 127)).round()
    assert torch.equal(data.grad, ((codes >= -128) & (codes <= 127)).float())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(
    x: torch.Tensor, dtype: torch.dtype
) -> None:
    found = quantizer(amax=1.0)(x.to(dtype))
    assert torch.equal(found, reference(x.to(dtype).float(), 1.0).to(dtype))


def test_s3_36_double_is_computed_in_double(x: torch.Tensor) -> None:
    found = quantizer(amax=1.0)(x.double())
    assert torch.equal(found, reference(x.double(), 1.0))


def test_empty_tensors_pass() -> None:
    for q in (TensorQuantizer(), quantizer(axis=1), quantizer(amax=1.0)):
        assert q(torch.empty(0, 3)).shape == (0, 3)


def test_nan_stays_nan() -> None:
    found = quantizer(amax=1.0)(torch.tensor([0.5, float("nan")]))
    assert torch.isnan(found).tolist() == [False, True]


def test_integers_are_refused() -> None:
    with pytest.raises(TypeError, match="floating-point"):
        quantizer(amax=1.0)(torch.arange(3))


def test_s1_2_a_calibrator_of_somebody_else_decides(x: torch.Tensor) -> None:
    class Sevens(MaxCalibrator):
        def compute_amax(self, *_: Any, **__: Any) -> torch.Tensor:
            return torch.tensor(7.0)

    q = quantizer("calib")
    q._calibrator = Sevens(8, None, False)
    q(x)
    q.load_calib_amax()
    assert q.amax == 7


def test_options_without_a_name_are_refused(x: torch.Tensor) -> None:
    q = quantizer("calib", calib_method="histogram")
    q(x)
    with pytest.raises(TypeError, match="by name"):
        q.load_calib_amax("percentile", 50.0)


def test_a_width_that_no_format_has_changes_nothing(x: torch.Tensor) -> None:
    q = quantizer(amax=1.0)
    expected = q(x)
    with pytest.raises(ValueError, match="bits"):
        q.num_bits = 99
    assert torch.equal(q(x), expected)
