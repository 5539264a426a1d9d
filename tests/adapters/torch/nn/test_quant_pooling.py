import inspect

import pytest
import torch
from torch import nn

from qcore.adapters.torch import nn as quant_nn
from qcore.adapters.torch.quantizer.descriptor import QuantDescriptor
from tests.adapters.torch.nn.deployed import fake

FAMILIES = ["MaxPool", "AvgPool", "AdaptiveAvgPool"]
POOLS = [f"{family}{n}d" for family in FAMILIES for n in (1, 2, 3)]


def image(name):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 3, *(8,) * int(name[-2]), generator=generator)


def both(name, *args, **kwargs):
    plain = getattr(nn, name)(*args, **kwargs)
    return plain, getattr(quant_nn, f"Quant{name}")(*args, **kwargs)


@pytest.mark.parametrize("name", POOLS)
def test_s3_64_pools_are_torchs_of_quantized_input(name):
    plain, quantized = both(name, 3)
    x = image(name)
    assert torch.equal(quantized(x), plain(fake(x)))


@pytest.mark.parametrize("name", POOLS)
def test_s3_34_a_disabled_pool_is_torchs_own(name):
    plain, quantized = both(name, 3)
    quantized.input_quantizer.disable()
    x = image(name)
    assert torch.equal(quantized(x), plain(x))


@pytest.mark.parametrize("name", POOLS[:3])
def test_s3_64_pools_of_maxima_take_all_of_torchs_arguments(name):
    plain, quantized = both(name, 3, 2, 1, 2, return_indices=True, ceil_mode=True)
    x = image(name)
    for found, expected in zip(quantized(x), plain(fake(x)), strict=True):
        assert torch.equal(found, expected)


@pytest.mark.parametrize("name", POOLS[3:6])
def test_s3_67_pools_of_means_take_all_of_torchs_arguments(name):
    divisor = {} if name == "AvgPool1d" else {"divisor_override": 5}
    plain, quantized = both(name, 3, 2, 1, True, False, **divisor)
    x = image(name)
    assert torch.equal(quantized(x), plain(fake(x)))


@pytest.mark.parametrize("size", [1, (2, None), (None, 3)])
def test_s3_69_adaptive_pools_take_sizes_that_are_none(size):
    plain, quantized = both("AdaptiveAvgPool2d", size)
    x = image("AdaptiveAvgPool2d")
    assert torch.equal(quantized(x), plain(fake(x)))


@pytest.mark.parametrize("name", POOLS)
def test_s3_64_signatures_are_torchs(name):
    ours = inspect.signature(getattr(quant_nn, f"Quant{name}")).parameters
    theirs = inspect.signature(getattr(nn, name)).parameters
    expected = [(n, p.default) for n, p in theirs.items()]
    assert [(n, p.default) for n, p in ours.items() if n != "kwargs"] == expected


@pytest.mark.parametrize("name", POOLS)
def test_s3_7_aliases_are_the_classes(name):
    assert getattr(quant_nn, name) is getattr(quant_nn, f"Quant{name}")


@pytest.mark.parametrize("name", POOLS)
def test_s3_64_all_take_a_descriptor_of_their_input(name):
    desc = QuantDescriptor(num_bits=4)
    made = getattr(quant_nn, name)(3, quant_desc_input=desc)
    assert made.input_quantizer.num_bits == 4


@pytest.mark.parametrize("kind", [TypeError, KeyError])
@pytest.mark.parametrize("name", POOLS)
def test_s3_32_there_are_no_weights_to_describe(name, kind):
    with pytest.raises(kind, match="must be quant_desc_input; got quant_desc_weight"):
        getattr(quant_nn, name)(3, quant_desc_weight=QuantDescriptor())


@pytest.mark.parametrize("name", POOLS)
def test_s3_33_only_fake_quantization_is_for_modules(name):
    with pytest.raises(ValueError, match="Only fake quantization is supported"):
        getattr(quant_nn, name)(3, quant_desc_input=QuantDescriptor(fake_quant=False))


def test_the_default_of_a_class_is_its_own():
    class Own(quant_nn.QuantMaxPool2d):
        pass

    Own.set_default_quant_desc_input(QuantDescriptor(num_bits=4))
    assert Own(2).input_quantizer.num_bits == 4
    assert quant_nn.QuantMaxPool2d(2).input_quantizer.num_bits == 8


@pytest.mark.parametrize("name", ["MaxPool1d", "AvgPool1d", "AdaptiveAvgPool1d"])
def test_gradients_are_those_of_the_pool(name):
    plain, quantized = both(name, 3)
    x = image(name).requires_grad_()
    operand = fake(x).requires_grad_()
    quantized(x).sum().backward()
    plain(operand).sum().backward()
    assert torch.equal(x.grad, operand.grad)


def test_pools_print_as_torchs_do():
    plain, quantized = both("AvgPool2d", 3)
    assert f"QuantAvgPool2d(\n  {plain.extra_repr()}\n" in repr(quantized)


def test_the_input_is_left_as_it_is():
    x = image("MaxPool1d")
    before = x.clone()
    quant_nn.QuantMaxPool1d(2)(x)
    assert torch.equal(x, before)
