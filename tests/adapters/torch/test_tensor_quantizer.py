"""The quantizer of pytorch-quantization, setting by setting."""

import logging
from typing import Any

import numpy as np
import pytest
import torch

from qcore.adapters.torch.nn.modules.tensor_quantizer import TensorQuantizer
from tests.adapters.torch.tensor_quantizers import quantizer, reference


@pytest.fixture
def x() -> torch.Tensor:
    return torch.randn(5, 7, generator=torch.Generator().manual_seed(0))


def test_s3_6_without_amax_the_range_is_that_of_the_tensor(x: torch.Tensor) -> None:
    assert torch.equal(TensorQuantizer()(x), reference(x, x.abs().max()))


def test_s3_6_the_axis_names_what_is_kept(x: torch.Tensor) -> None:
    found = quantizer(axis=(0))(x)
    assert torch.equal(found, reference(x, x.abs().amax(1, keepdim=True)))


@pytest.mark.parametrize("axis", [(0), (0,), -2])
def test_s3_5_codes_of_an_unsigned_4_bit_format(axis: Any) -> None:
    data = torch.rand(10, 9)
    q = quantizer(num_bits=4, fake_quant=False, axis=axis, unsigned=True)
    largest = data.amax(1, keepdim=True)
    expected = np.rint(data.numpy() / (largest.numpy() / np.float32(15)))
    np.testing.assert_array_equal(q(data), expected)


def test_s3_6_a_given_amax_is_used(x: torch.Tensor) -> None:
    assert torch.equal(quantizer(amax=0.5)(x), reference(x, 0.5))


def test_s3_85_the_shape_of_amax_is_the_granularity(x: torch.Tensor) -> None:
    amax = [0.5 + i for i in range(7)]
    assert torch.equal(quantizer(amax=amax)(x), reference(x, amax))


def test_an_amax_that_does_not_fit_is_refused(x: torch.Tensor) -> None:
    with pytest.raises(ValueError, match=r"shape \(6,\)"):
        quantizer(amax=[1.0] * 6)(x)


def test_s3_79_scale_amax_multiplies(x: torch.Tensor) -> None:
    largest = x.abs().max() * 0.5
    assert torch.equal(quantizer(scale_amax=0.5)(x), reference(x, largest))
    fixed = quantizer(amax=1.0, scale_amax=0.5)
    assert torch.equal(fixed(x), reference(x, 0.5))


@pytest.mark.parametrize(
    ("keywords", "qmin", "qmax"),
    [
        ({"num_bits": 4}, -8, 7),
        ({"narrow_range": True}, -127, 127),
        ({"unsigned": True}, 0, 255),
        ({"num_bits": 12}, -2048, 2047),
    ],
)
def test_s3_47_width_sign_and_narrowness(
    x: torch.Tensor, keywords: dict[str, Any], qmin: int, qmax: int
) -> None:
    found = quantizer(amax=1.0, **keywords)(x)
    assert torch.equal(found, reference(x, 1.0, qmin, qmax))
    changed = quantizer(amax=1.0)
    for name, value in keywords.items():
        setattr(changed, name, value)
        assert getattr(changed, name) == value
    assert torch.equal(changed(x), found)


def test_s3_80_zero_bits_give_zeros(x: torch.Tensor) -> None:
    assert not quantizer(num_bits=0)(x).any()


def test_s3_81_4_3_is_float8(x: torch.Tensor) -> None:
    scale = x.abs().max() / 448
    expected = (x / scale).to(torch.float8_e4m3fn).float() * scale
    assert torch.equal(quantizer(num_bits=(4, 3))(x), expected)
    assert quantizer(num_bits=(4, 3)).maxbound == 448.0


def test_s3_48_disabled_it_lets_tensors_pass(x: torch.Tensor) -> None:
    q = TensorQuantizer(disabled=True)
    assert q(x) is x
    q.enable()
    assert not torch.equal(q(x), x)
    q.disable()
    assert q(x) is x


def test_s3_50_quantization_alone_can_be_switched(x: torch.Tensor) -> None:
    q = TensorQuantizer(if_quant=False)
    assert q(x) is x
    q.enable_quant()
    assert not torch.equal(q(x), x)


def test_s3_45_a_learned_range_clips(x: torch.Tensor) -> None:
    q = quantizer("clip", amax=0.5, learn_amax=True)
    q.disable_quant()
    assert torch.equal(q(x), x.clamp(-0.5, 0.5))
    q.enable_quant()
    assert torch.equal(q(x), reference(x.clamp(-0.5, 0.5), 0.5))


def test_s3_49_the_range_learns(x: torch.Tensor) -> None:
    q = quantizer("clip", amax=0.5, learn_amax=True)
    q(x).sum().backward()
    assert q.clip.clip_value_max.grad == (x >= 0.5).sum()
    assert q.clip.clip_value_min.grad == (x <= -0.5).sum()


def test_s3_51_clipping_without_a_learned_range_is_an_error() -> None:
    with pytest.raises(ValueError, match="learn_amax"):
        TensorQuantizer().enable_clip()


def test_s3_51_calibrating_without_a_calibrator_is_an_error() -> None:
    with pytest.raises(ValueError, match="Calibrator"):
        quantizer(num_bits=0).enable_calib()


def test_s3_51_another_shape_of_amax_is_an_error() -> None:
    q = quantizer(amax=1.0)
    with pytest.raises(RuntimeError, match="shape"):
        q.amax = np.ones(3)


def test_s3_51_setting_none_is_ignored(caplog: pytest.LogCaptureFixture) -> None:
    q = quantizer(amax=1.0)
    with caplog.at_level(logging.ERROR):
        q.amax = None
    assert q.amax == 1.0
    assert "ignored" in caplog.text


@pytest.mark.parametrize("given", [0.577, np.float32(0.577), np.array([3.142, 2.718])])
def test_s3_47_amax_can_be_set(given: Any) -> None:
    q = TensorQuantizer()
    assert q.amax is None
    q.amax = given
    np.testing.assert_array_equal(q.amax, np.float32(given))


def test_s3_46_the_step_is_amax_over_the_largest_code() -> None:
    q = quantizer(amax=3.14)
    assert q.step_size == np.float32(3.14) / np.float32(127)
    q.unsigned = True
    assert q.step_size == np.float32(3.14) / np.float32(255)


def test_s3_48_without_amax_there_is_no_step(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.ERROR):
        assert TensorQuantizer().step_size is None
    assert "step_size" in caplog.text


def test_s3_46_the_scale_is_that_of_the_last_codes(x: torch.Tensor) -> None:
    q = quantizer(fake_quant=False)
    codes = q(x)
    assert (codes == codes.round()).all()
    torch.testing.assert_close(q.scale, 127 / x.abs().max().reshape(1, 1))


@pytest.mark.parametrize("name", ["axis", "fake_quant", "scale", "step_size"])
def test_s3_46_properties_are_read_only(name: str) -> None:
    with pytest.raises(AttributeError):
        setattr(TensorQuantizer(), name, 1)
