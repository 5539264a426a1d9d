import inspect

import pytest
import torch
from torch import nn

from qcore.adapters.torch import nn as quant_nn
from qcore.adapters.torch.quantizer.descriptor import QuantDescriptor
from tests.adapters.torch.nn.deployed import fake

NORMS = ["InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d"]


def image(name):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 3, *(5,) * int(name[-2]), generator=generator)


def both(name, *args, **kwargs):
    plain = getattr(nn, name)(*args, **kwargs)
    return plain, getattr(quant_nn, f"Quant{name}")(*args, **kwargs)


@pytest.mark.parametrize("name", NORMS)
def test_s3_30_norms_are_torchs_of_quantized_input(name):
    plain, quantized = both(name, 3)
    x = image(name)
    assert torch.equal(quantized(x), plain(fake(x)))


@pytest.mark.parametrize("name", NORMS)
def test_s3_34_a_disabled_norm_is_torchs_own(name):
    plain, quantized = both(name, 3, affine=True)
    quantized.input_quantizer.disable()
    x = image(name)
    assert torch.equal(quantized(x), plain(x))


@pytest.mark.parametrize("name", NORMS)
def test_running_statistics_are_of_quantized_input(name):
    plain, quantized = both(name, 3, 1e-3, 0.5, True, True)
    x = image(name)
    assert torch.equal(quantized(x), plain(fake(x)))
    assert torch.equal(quantized.running_mean, plain.running_mean)
    assert torch.equal(quantized.eval()(x), plain.eval()(fake(x)))


@pytest.mark.parametrize("name", NORMS)
def test_signatures_are_torchs(name):
    ours = inspect.signature(getattr(quant_nn, f"Quant{name}")).parameters
    theirs = inspect.signature(getattr(nn, name)).parameters
    expected = [(n, p.default) for n, p in theirs.items()][: len(ours) - 1]
    assert [(n, p.default) for n, p in ours.items() if n != "kwargs"] == expected


@pytest.mark.parametrize("name", NORMS)
def test_s3_7_aliases_are_the_classes(name):
    assert getattr(quant_nn, name) is getattr(quant_nn, f"Quant{name}")


@pytest.mark.parametrize("kind", [TypeError, KeyError])
def test_s3_32_an_unknown_keyword_is_either_error(kind):
    with pytest.raises(kind, match=r"must be quant_desc_input; got size"):
        quant_nn.QuantInstanceNorm2d(3, size=1)


def test_s3_33_only_fake_quantization_is_for_modules():
    real = QuantDescriptor(fake_quant=False)
    with pytest.raises(ValueError, match="Only fake quantization is supported"):
        quant_nn.QuantInstanceNorm2d(3, quant_desc_input=real)


@pytest.mark.parametrize("affine", [False, True])
def test_quantizers_are_where_the_norm_is(affine):
    made = quant_nn.QuantInstanceNorm1d(3, affine=affine, device="meta")
    assert {b.device.type for b in made.buffers()} == {"meta"}


def test_a_state_dict_of_torchs_norm_loads():
    plain = nn.InstanceNorm2d(3, affine=True, track_running_stats=True)
    quantized = quant_nn.QuantInstanceNorm2d(3, affine=True, track_running_stats=True)
    quantized.load_state_dict(plain.state_dict())
    assert quantized.state_dict().keys() == plain.state_dict().keys()


def test_gradients_reach_the_input_and_the_weights():
    plain, quantized = both("InstanceNorm1d", 3, affine=True)
    x = image("InstanceNorm1d").requires_grad_()
    operand = fake(x).requires_grad_()
    quantized(x).square().sum().backward()
    plain(operand).square().sum().backward()
    torch.testing.assert_close(x.grad, operand.grad)
    torch.testing.assert_close(quantized.weight.grad, plain.weight.grad)
