"""S3.57 to 71: the layers."""

import inspect
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - its usual name

from qcore.adapters.torch import nn as quant_nn
from qcore.adapters.torch import tensor_quant
from qcore.adapters.torch.nn import functional
from qcore.adapters.torch.tensor_quant import QuantDescriptor
from tests.adapters.torch.acceptance import (
    defaults,
    int8,
    normal,
    per_channel,
    per_tensor,
)

CONV = ["in_channels", "out_channels", "kernel_size", "stride", "padding"]
CONV_DEFAULTS = {"groups": 1, "bias": True, "dilation": 1, "padding_mode": "zeros"}


def check_conv(dimensions: int) -> None:
    cls = getattr(quant_nn, f"QuantConv{dimensions}d")
    assert list(inspect.signature(cls).parameters) == [
        *CONV,
        "dilation",
        "groups",
        "bias",
        "padding_mode",
        "kwargs",
    ]
    assert defaults(cls) == {"stride": 1, "padding": 0, **CONV_DEFAULTS}
    layer = cls(4, 6, 3, 2, 1, 1, 2, padding_mode="circular")
    x = normal(2, 4, *[6] * dimensions)
    padded = F.pad(per_tensor(x), [1] * 2 * dimensions, mode="circular")
    function = getattr(F, f"conv{dimensions}d")
    expected = function(
        padded, per_channel(layer.weight), layer.bias, stride=2, groups=2
    )
    torch.testing.assert_close(layer(x), expected)


def test_s3_58_quant_conv1d() -> None:
    check_conv(1)


def test_s3_59_quant_conv2d() -> None:
    check_conv(2)


def test_s3_60_quant_conv3d() -> None:
    check_conv(3)


def check_transposed(dimensions: int) -> None:
    cls = getattr(quant_nn, f"QuantConvTranspose{dimensions}d")
    assert list(inspect.signature(cls).parameters) == [
        *CONV,
        "output_padding",
        "groups",
        "bias",
        "dilation",
        "padding_mode",
        "kwargs",
    ]
    expected = {"stride": 1, "padding": 0, "output_padding": 0, **CONV_DEFAULTS}
    assert defaults(cls) == expected
    layer, x = cls(4, 6, 3, 2, 1, 1), normal(2, 4, *[5] * dimensions)
    function = getattr(F, f"conv_transpose{dimensions}d")
    weight = per_channel(layer.weight, axis=1)
    torch.testing.assert_close(
        layer(x), function(per_tensor(x), weight, layer.bias, 2, 1, 1)
    )


def test_s3_61_quant_conv_transpose1d() -> None:
    check_transposed(1)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_s3_62_quant_conv_transpose2d_and_3d(dimensions: int) -> None:
    check_transposed(dimensions)


def test_s3_63_a_linear_layer_with_a_scale_for_each_row() -> None:
    assert list(inspect.signature(quant_nn.QuantLinear).parameters) == [
        "in_features",
        "out_features",
        "bias",
        "kwargs",
    ]
    layer, x = quant_nn.QuantLinear(6, 4, False), normal(3, 6)
    assert layer.bias is None
    assert torch.equal(layer(x), F.linear(per_tensor(x), per_channel(layer.weight)))
    desc = tensor_quant.QUANT_DESC_8BIT_LINEAR_WEIGHT_PER_ROW
    assert quant_nn.QuantLinear.default_quant_desc_weight == desc


def test_s3_63_pretrained_weights_load_under_their_names() -> None:
    plain, layer = nn.Linear(6, 4), quant_nn.Linear(6, 4)
    assert str(layer.load_state_dict(plain.state_dict())) == (
        "<All keys matched successfully>"
    )
    assert torch.equal(layer.weight, plain.weight)


@pytest.mark.parametrize("error", [TypeError, KeyError])
def test_s3_63_an_unknown_keyword_is_either_error(error: type[Exception]) -> None:
    with pytest.raises(error, match="descriptor"):
        quant_nn.QuantLinear(6, 4, descriptor=1)


def test_s3_63_real_quantization_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="fake quant"):
        quant_nn.QuantLinear(6, 4, quant_desc_weight=QuantDescriptor(fake_quant=False))


def check_pool(name: str, documented: dict[str, Any], *args: Any) -> None:
    cls = getattr(quant_nn, f"Quant{name}")
    assert defaults(cls) == documented
    x = normal(2, 3, *[9] * int(name[-2]))
    expected = getattr(nn, name)(*args)(int8(x, 0.75))
    layer = cls(*args, quant_desc_input=QuantDescriptor(amax=0.75))
    assert torch.equal(layer(x), expected)


MAX_POOL = {"stride": None, "padding": 0, "dilation": 1}


MAX_POOL |= {"return_indices": False, "ceil_mode": False}


AVG_POOL = {"stride": None, "padding": 0, "ceil_mode": False, "count_include_pad": True}


def test_s3_64_quant_max_pool1d() -> None:
    check_pool("MaxPool1d", MAX_POOL, 3, 2, 1, 2, False, True)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_s3_65_quant_max_pool2d_and_3d(dimensions: int) -> None:
    check_pool(f"MaxPool{dimensions}d", MAX_POOL, 3, 2, 1, 2, False, True)


def test_s3_66_quant_avg_pool1d() -> None:
    check_pool("AvgPool1d", AVG_POOL, 3, 2, 1, True, False)


def test_s3_67_quant_avg_pool2d() -> None:
    check_pool(
        "AvgPool2d", AVG_POOL | {"divisor_override": None}, 3, 2, 1, True, False, 5
    )


def test_s3_68_quant_avg_pool3d() -> None:
    check_pool(
        "AvgPool3d", AVG_POOL | {"divisor_override": None}, 3, 2, 1, True, False, 5
    )


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_s3_69_quant_adaptive_avg_pools(dimensions: int) -> None:
    check_pool(f"AdaptiveAvgPool{dimensions}d", {}, 4)


def test_s3_70_bounds_of_a_clip_are_learned_if_asked() -> None:
    assert defaults(quant_nn.Clip) == {"learn_min": False, "learn_max": False}
    layer = quant_nn.Clip(-1.0, 2.0, learn_max=True)
    assert [name for name, _ in layer.named_parameters()] == ["clip_value_max"]
    assert torch.equal(layer(normal(50)), normal(50).clamp(-1, 2))


@pytest.mark.parametrize("bound", ["min", "max"])
def test_s3_70_a_learned_bound_must_be_a_scalar(bound: str) -> None:
    with pytest.raises(ValueError, match="scalar"):
        quant_nn.Clip(-torch.ones(3), torch.ones(3), **{f"learn_{bound}": True})


def test_s3_71_bounds_broadcast() -> None:
    x, high = normal(4, 3), torch.tensor([0.1, 0.5, 1.0])
    found = functional.clip(x, -high, high)
    np.testing.assert_array_equal(
        found, np.clip(x.numpy(), -high.numpy(), high.numpy())
    )


@pytest.mark.parametrize("clip", [functional.clip, functional.ClipFunction.apply])
def test_s3_71_gradients_are_those_of_pact(clip: Any) -> None:
    x = torch.tensor([-3.0, -1.0, 0.5, 2.0, 7.0], requires_grad=True)
    low, high = (torch.tensor(end, requires_grad=True) for end in (-1.0, 2.0))
    (clip(x, low, high) * torch.tensor([1.0, 2.0, 4.0, 8.0, 16.0])).sum().backward()
    assert x.grad.tolist() == [0, 0, 4, 0, 0]
    assert low.grad == 1 + 2
    assert high.grad == 8 + 16
