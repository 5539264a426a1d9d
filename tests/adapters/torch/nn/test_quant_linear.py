import copy
import pickle

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - its usual name

from qcore.adapters.torch.nn import Linear, QuantConv2d, QuantLinear, TensorQuantizer
from qcore.adapters.torch.quantizer.descriptor import QuantDescriptor


def data(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def fake(x, amax):
    """The formula of deployment: int8, divided by a scale, half to even."""
    scale = np.asarray(amax, np.float32) / np.float32(127)
    codes = np.clip(np.rint(x.detach().numpy() / scale), -128, 127)
    return torch.from_numpy((codes * scale).astype(np.float32))


def twins(*args, **kwargs):
    """A layer of torch and one that quantizes, of the same parameters."""
    torch.manual_seed(1)
    plain = nn.Linear(*args)
    quantized = QuantLinear(*args, **kwargs)
    quantized.load_state_dict(plain.state_dict(), strict=False)
    return plain, quantized


def test_s3_7_input_per_tensor_and_weights_per_row_are_quantized():
    plain, quantized = twins(6, 4)
    x = data(5, 6)
    weight = fake(plain.weight, np.abs(plain.weight.detach().numpy()).max(1)[:, None])
    expected = F.linear(fake(x, x.abs().max()), weight, plain.bias)
    assert torch.equal(quantized(x), expected)


def test_s3_7_both_descriptors_are_taken():
    plain, quantized = twins(
        6,
        4,
        False,
        quant_desc_input=QuantDescriptor(amax=0.5),
        quant_desc_weight=QuantDescriptor(),
    )
    x = data(5, 6)
    weight = fake(plain.weight, plain.weight.detach().abs().max())
    assert torch.equal(quantized(x), F.linear(fake(x, 0.5), weight))


def test_s3_63_the_default_is_one_scale_per_row():
    assert QuantLinear(6, 4).weight_quantizer.axis == 0
    assert QuantLinear(6, 4).input_quantizer.axis is None


def test_s3_63_the_alias_keeps_the_name():
    assert Linear is QuantLinear


def test_s3_63_weights_of_the_float_model_load_and_nothing_is_missing():
    plain, quantized = nn.Linear(6, 4), QuantLinear(6, 4)
    keys = quantized.load_state_dict(plain.state_dict())
    assert not keys.missing_keys
    assert not keys.unexpected_keys
    assert torch.equal(quantized.weight, plain.weight)


def test_s3_34_a_disabled_layer_is_torchs_own():
    plain, quantized = twins(6, 4)
    quantized.input_quantizer.disable()
    quantized.weight_quantizer.disable()
    x = data(5, 6)
    assert torch.equal(quantized(x), plain(x))


@pytest.mark.parametrize("kind", [TypeError, KeyError])
def test_s3_63_an_unknown_keyword_is_either_error(kind):
    with pytest.raises(kind, match=r"QuantLinear .* must be .*; got padding"):
        QuantLinear(6, 4, padding=1)


@pytest.mark.parametrize("which", ["input", "weight"])
def test_s3_33_only_fake_quantization_is_for_modules(which):
    real = QuantDescriptor(fake_quant=False)
    with pytest.raises(ValueError, match="Only fake quantization is supported"):
        QuantLinear(6, 4, **{f"quant_desc_{which}": real})


def test_s3_33_a_descriptor_must_be_one():
    with pytest.raises(TypeError, match="must be a QuantDescriptor; got int"):
        QuantLinear(6, 4, quant_desc_input=8)


@pytest.fixture
def of_its_own():
    class Own(QuantLinear):
        pass

    return Own


@pytest.mark.parametrize("which", ["input", "weight"])
def test_s3_57_the_defaults_of_a_class_can_be_set(of_its_own, which):
    getattr(of_its_own, f"set_default_quant_desc_{which}")(QuantDescriptor(num_bits=4))
    assert getattr(of_its_own(6, 4), f"{which}_quantizer").num_bits == 4
    assert getattr(QuantLinear(6, 4), f"{which}_quantizer").num_bits == 8


@pytest.mark.parametrize("which", ["input", "weight"])
def test_s3_57_a_default_must_be_a_descriptor(of_its_own, which):
    with pytest.raises(ValueError, match="must be a QuantDescriptor; got int"):
        getattr(of_its_own, f"set_default_quant_desc_{which}")(8)


def test_s3_57_a_default_is_a_copy(of_its_own):
    given = QuantDescriptor(amax=[1.0, 2.0], axis=0)
    of_its_own.set_default_quant_desc_weight(given)
    given.amax[0] = 9
    assert of_its_own(6, 2).weight_quantizer.amax.tolist() == [1, 2]


def test_s3_21_defaults_of_one_class_leave_others_alone(of_its_own):
    of_its_own.set_default_quant_desc_input(QuantDescriptor(calib_method="histogram"))
    assert QuantConv2d.default_quant_desc_input.calib_method == "max"


def test_s3_32_none_is_the_default():
    made = QuantLinear(6, 4, quant_desc_input=None, quant_desc_weight=None)
    assert (made.input_quantizer.axis, made.weight_quantizer.axis) == (None, 0)


def test_s3_34_quantizers_are_read_only():
    made = QuantLinear(6, 4)
    with pytest.raises(AttributeError, match="`input_quantizer` cannot be set"):
        made.input_quantizer = TensorQuantizer()


def test_gradients_reach_input_and_weights_straight_through():
    plain, quantized = twins(6, 4, False)
    x = data(5, 6).requires_grad_()
    quantized(x).sum().backward()
    ones = torch.ones(5, 4)
    rows = np.abs(plain.weight.detach().numpy()).max(1)[:, None]
    torch.testing.assert_close(
        quantized.weight.grad, ones.T @ fake(x, x.detach().abs().max())
    )
    torch.testing.assert_close(x.grad, ones @ fake(plain.weight, rows))


def test_the_bias_is_not_quantized():
    plain, quantized = twins(6, 4)
    assert torch.equal(quantized(torch.zeros(5, 6)), plain.bias.expand(5, 4))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_s3_36_other_dtypes_keep_theirs(dtype):
    found = QuantLinear(6, 4).to(dtype)(data(5, 6).to(dtype))
    assert found.dtype == dtype
    assert found.isfinite().all()


def test_s3_36_double_input_works_in_functional_use():
    quantizer = TensorQuantizer(QuantLinear.default_quant_desc_input)
    x = data(2, 3, 4, 4).double()
    scale = x.abs().max().float().numpy() / np.float32(127)
    expected = np.rint(x.numpy() / np.float64(scale)) * np.float64(scale)
    found = F.adaptive_avg_pool2d(quantizer(x), 2)
    assert found.dtype == torch.float64
    pooled = F.adaptive_avg_pool2d(torch.from_numpy(expected), 2)
    torch.testing.assert_close(found, pooled, rtol=1e-12, atol=0)


def test_an_empty_batch_passes():
    assert QuantLinear(6, 4)(torch.zeros(0, 6)).shape == (0, 4)


def test_quantizers_are_where_the_weights_are():
    made = QuantLinear(6, 4, device="meta", dtype=torch.float16)
    assert made.weight.dtype == torch.float16
    assert {b.device.type for b in made.buffers()} == {"meta"}


def test_copies_and_pickles_compute_the_same():
    _, quantized = twins(6, 4, quant_desc_input=QuantDescriptor(amax=1.5))
    x = data(5, 6)
    for other in (copy.deepcopy(quantized), pickle.loads(pickle.dumps(quantized))):
        assert torch.equal(other(x), quantized(x))
