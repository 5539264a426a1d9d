import copy
import pickle

import pytest
import torch
from torch import nn

from qcore.adapters.torch.configuration.presets import PRESETS
from qcore.adapters.torch.nn.modules.quant_linear import QuantLinear
from qcore.adapters.torch.quantize import quantize

FLOOR = {
    "int8": 30,
    "int8_power_of_two": 24,
    "int8_symmetric": 30,
    "uint8": 30,
    "float8_e4m3fn": 22,
    "int8_weight_only": 35,
    "int4_weight_only": 14,
    "mxfp8_e4m3": 22,
    "nvfp4": 12,
}
"""dB. A quantizer of b bits over four standard deviations has 6.02 b - 7, one of m bits
of mantissa about 6.02 m + 13; six of them lose up to 8 dB more, and powers of two, up
to twice as large as they need be, 6 more."""


@pytest.fixture
def net():
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * 9, 10),
    ).eval()


@pytest.fixture
def pictures():
    return torch.randn(32, 3, 8, 8, generator=torch.Generator().manual_seed(2))


def decibel(found, expected):
    noise = (found - expected).square().sum() / expected.square().sum()
    return -10 * noise.log10().item()


@torch.no_grad()
@pytest.mark.parametrize("preset", PRESETS)
def test_a_quantized_net_is_near_the_float_one(net, pictures, preset):
    expected = net(pictures)

    model = quantize(net, preset, pictures.split(8))
    assert model is net
    assert FLOOR[preset] < decibel(model(pictures), expected) < 80


@torch.no_grad()
@pytest.mark.parametrize("method", ["max", "percentile", "entropy", "mse", "auto"])
def test_all_methods_are_near_the_float_net(net, pictures, method):
    expected = net(pictures)
    rule = {"preset": "int8", "input": {"calib_method": method}}

    found = quantize(net, [rule], pictures.split(8))(pictures)
    assert decibel(found, expected) > 15


def test_without_data_weights_alone_are_calibrated():
    layer = quantize(nn.Linear(4, 4))

    assert isinstance(layer, QuantLinear)
    assert layer.weight_quantizer.has_range()
    assert not layer.input_quantizer.has_range()
    assert layer(torch.randn(2, 4)).isfinite().all()


def test_a_configuration_of_modelopt_without_algorithm_is_not_calibrated(net, pictures):
    quantize(net, {"quant_cfg": {"*": {"num_bits": 8}}, "algorithm": None}, [pictures])

    assert not net[0].weight_quantizer.has_range()


def test_a_configuration_that_is_not_valid_changes_nothing(net):
    with pytest.raises(ValueError, match="'inptu'"):
        quantize(net, [{"preset": "int8"}, {"inptu": "int8"}])
    assert type(net[0]) is nn.Conv2d


@torch.no_grad()
def test_a_quantized_net_can_be_copied_pickled_and_compiled(net, pictures):
    expected = quantize(net, "int8", [pictures])(pictures)

    assert torch.equal(copy.deepcopy(net)(pictures), expected)
    assert torch.equal(pickle.loads(pickle.dumps(net))(pictures), expected)
    compiled = torch.compile(net, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(pictures), expected)


def test_gradients_reach_the_weights(net, pictures):
    quantize(net, "int8", [pictures]).train()

    net(pictures).sum().backward()
    assert all(p.grad.isfinite().all() for p in net.parameters())


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_dtypes(net, pictures, dtype):
    model = quantize(net.to(dtype), "int8", [pictures.to(dtype)])

    assert model(pictures.to(dtype)).dtype == dtype
