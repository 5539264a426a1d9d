"""S3.5, 6, 9, 26 and 37 to 49: calibrators and the quantizer."""

import inspect
import logging
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from qcore.adapters.torch import calib
from qcore.adapters.torch.calib import HistogramCalibrator, MaxCalibrator
from qcore.adapters.torch.nn import TensorQuantizer
from qcore.adapters.torch.tensor_quant import QuantDescriptor
from tests.adapters.torch.acceptance import defaults, int8, normal, quantizer, uniform


@pytest.mark.parametrize("axis", [0, (0,)])
def test_s3_05_the_example_returns_unsigned_4_bit_codes(axis: Any) -> None:
    desc = QuantDescriptor(num_bits=4, fake_quant=False, axis=axis, unsigned=True)
    x = uniform(10, 9, 8, 7)
    scale = x.amax((1, 2, 3), keepdim=True) / 15
    assert torch.equal(TensorQuantizer(desc)(x), (x / scale).round().clamp(0, 15))


def test_s3_06_a_given_amax_is_used_and_the_data_does_not_matter() -> None:
    quantizer = TensorQuantizer(QuantDescriptor(amax=0.5))
    assert torch.equal(quantizer(normal(100)), int8(normal(100), 0.5))


def test_s3_06_without_amax_it_is_that_of_the_data_along_the_kept_axes() -> None:
    x = normal(4, 5, 6)
    for axis, reduced in {None: (0, 1, 2), 1: (0, 2), (0, -1): (1,)}.items():
        found = TensorQuantizer(QuantDescriptor(axis=axis))(x)
        assert torch.equal(found, int8(x, x.abs().amax(reduced, keepdim=True)))


def test_s3_09_a_quantizer_is_placed_by_hand() -> None:
    class Product(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.quantizer = TensorQuantizer(QuantDescriptor(amax=2.0))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.quantizer(x) @ self.quantizer(x).T

    x = normal(4, 4)
    assert torch.equal(Product()(x), int8(x, 2.0) @ int8(x, 2.0).T)


def test_s3_26_the_printed_form_per_tensor() -> None:
    assert repr(TensorQuantizer(QuantDescriptor(amax=2.64))) == (
        "TensorQuantizer(8bit fake per-tensor amax=2.6400 "
        "calibrator=MaxCalibrator(track_amax=False) quant)"
    )


def test_s3_26_the_printed_form_per_channel() -> None:
    amax = np.linspace(0, 0.7817, 64).reshape(64, 1, 1, 1)
    assert repr(TensorQuantizer(QuantDescriptor(axis=0, amax=amax))) == (
        "TensorQuantizer(8bit fake axis=(0) amax=[0.0000, 0.7817](64) "
        "calibrator=MaxCalibrator(track_amax=False) quant)"
    )


def test_s3_37_tracked_amaxs_are_arrays_that_cannot_be_set() -> None:
    calibrator = MaxCalibrator(8, 0, False, track_amax=True)
    for seed in (1, 2):
        calibrator.collect(normal(3, 4, seed=seed))
    for found, seed in zip(calibrator.amaxs, (1, 2), strict=True):
        expected = normal(3, 4, seed=seed).numpy()
        np.testing.assert_array_equal(found, np.abs(expected).max(1, keepdims=True))
    with pytest.raises(AttributeError):
        calibrator.amaxs = []


def test_s3_38_the_maximum_runs_over_all_that_was_collected() -> None:
    calibrator = MaxCalibrator(8, (0,), False)
    batches = [normal(3, n, seed=n) for n in (5, 9, 2)]
    for batch in batches:
        calibrator.collect(batch)
    expected = torch.cat(batches, 1).abs().amax(1, keepdim=True)
    assert torch.equal(calibrator.compute_amax(), expected)


def test_s3_38_another_shape_of_amax_is_an_error() -> None:
    calibrator = MaxCalibrator(8, 0, False)
    calibrator.collect(normal(3, 4))
    with pytest.raises(RuntimeError, match="amax shape changed"):
        calibrator.collect(normal(4, 4))


def test_s3_39_compute_amax_takes_no_argument_and_gives_none_of_nothing() -> None:
    calibrator = MaxCalibrator(8, None, False)
    assert calibrator.compute_amax() is None
    calibrator.collect(torch.tensor([1.0, -3.0]))
    assert calibrator.compute_amax() == 3


def test_s3_40_reset_lets_another_shape_be_collected() -> None:
    calibrator = MaxCalibrator(8, 0, False, track_amax=True)
    calibrator.collect(normal(3, 4))
    calibrator.reset()
    assert calibrator.amaxs == []
    calibrator.collect(normal(5, 4))
    assert calibrator.compute_amax().shape == (5, 1)


def test_s3_41_the_constructor_is_that_of_the_page() -> None:
    found = list(inspect.signature(HistogramCalibrator).parameters)[:7]
    assert found[:3] == ["num_bits", "axis", "unsigned"]
    assert found[3:] == ["num_bins", "grow_method", "skip_zeros", "torch_hist"]
    assert calib.HistogramCalibrator(8, None, True, 128, None, True, False)


def test_s3_42_batches_are_collected_in_any_order_to_the_same() -> None:
    batches = [normal(50, seed=n) * 10**n for n in (2, 0, 1)]
    one, other = (
        HistogramCalibrator(8, None, False),
        HistogramCalibrator(8, None, False),
    )
    for batch in batches:
        one.collect(batch)
    for batch in sorted(batches, key=lambda x: x.max()):
        other.collect(batch)
    assert torch.equal(one._calib_hist, other._calib_hist)


def test_s3_43_the_three_methods_take_their_options() -> None:
    calibrator = HistogramCalibrator(8, None, False)
    calibrator.collect(normal(5000))
    largest = normal(5000).abs().max()
    for method in ("entropy", "mse"):
        found = calibrator.compute_amax(method, stride=4, start_bin=256)
        assert found > 256 * largest / 4096  # slots are of the largest's power of two
        assert found <= largest
    assert calibrator.compute_amax("percentile", percentile=100) == largest


def test_s3_44_reset_forgets_the_histogram() -> None:
    calibrator = HistogramCalibrator(8, None, False)
    calibrator.collect(normal(50) * 100)
    calibrator.reset()
    calibrator.collect(normal(50))
    assert (
        calibrator.compute_amax("percentile", percentile=100) == normal(50).abs().max()
    )


def test_s3_45_the_constructor_has_the_documented_stages() -> None:
    assert defaults(TensorQuantizer) == {
        "quant_desc": None,
        "disabled": False,
        "if_quant": True,
        "if_clip": False,
        "if_calib": False,
    }
    assert TensorQuantizer().descriptor == QuantDescriptor()


def test_s3_45_stages_are_those_asked_for() -> None:
    x, desc = normal(50), QuantDescriptor(amax=0.5, learn_amax=True)
    assert torch.equal(TensorQuantizer(desc, disabled=True)(x), x)
    assert torch.equal(TensorQuantizer(desc, if_quant=False)(x), x)
    clipped = TensorQuantizer(desc, if_quant=False, if_clip=True)(x)
    assert torch.equal(clipped, x.clamp(-0.5, 0.5))
    calibrating = TensorQuantizer(desc, if_calib=True)
    calibrating(x)
    calibrating.load_calib_amax()
    assert calibrating.amax == x.abs().max()


@pytest.mark.parametrize("name", ["axis", "fake_quant", "scale", "step_size"])
def test_s3_46_read_only_properties_cannot_be_set(name: str) -> None:
    with pytest.raises(AttributeError):
        setattr(quantizer(amax=1.0), name, None)


def test_s3_46_they_are_those_of_the_descriptor() -> None:
    found = quantizer(axis=(0, 1), fake_quant=False)
    assert found.axis == (0, 1)
    assert found.fake_quant is False


def test_s3_46_the_scale_is_that_of_real_quantization() -> None:
    found, x = quantizer(amax=2.0, fake_quant=False), normal(50)
    codes = found(x)
    assert torch.equal(codes, (x / (torch.tensor(2.0) / 127)).round().clamp(-128, 127))
    torch.testing.assert_close(found.scale, torch.tensor(127 / 2.0))


def test_s3_47_what_is_mutable_changes_what_is_computed() -> None:
    found, x = quantizer(amax=1.0), normal(200)
    found.amax = torch.tensor(1.5)
    assert torch.equal(found(x), int8(x, 1.5))
    found.num_bits = 4
    scale = torch.tensor(1.5) / 7
    assert torch.equal(found(x), (x / scale).round().clamp(-8, 7) * scale)
    found.narrow_range = True
    assert torch.equal(found(x), (x / scale).round().clamp(-7, 7) * scale)
    found.unsigned = True
    scale = torch.tensor(1.5) / 15
    assert torch.equal(found(x), (x / scale).round().clamp(0, 15) * scale)
    found.pre_quant_scale = 2.0
    assert torch.equal(found(x), (2 * x / scale).round().clamp(0, 15) * scale)


@pytest.mark.parametrize(
    ("num_bits", "unsigned", "top"), [(8, False, 127), (8, True, 255), (4, False, 7)]
)
def test_s3_47_the_step_size_is_amax_over_the_largest_code(
    num_bits: int, unsigned: bool, top: int
) -> None:
    found = quantizer(num_bits=num_bits, unsigned=unsigned, amax=3.0)
    assert found.step_size == torch.tensor(3.0) / top


def test_s3_47_without_amax_there_is_no_step_and_a_logged_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert quantizer().step_size is None
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


def test_s3_48_a_disabled_quantizer_lets_tensors_pass() -> None:
    found, x = quantizer(amax=1.0), normal(50)
    found.disable()
    assert torch.equal(found(x), x)
    found.enable()
    assert torch.equal(found(x), int8(x, 1.0))


def test_s3_49_clipping_is_switched() -> None:
    found, x = quantizer(amax=1.0, learn_amax=True), normal(50)
    found.disable_quant()
    found.enable_clip()
    assert torch.equal(found(x), x.clamp(-1, 1))
    found.disable_clip()
    assert torch.equal(found(x), x)
