"""S3.85 to 91: functions with gradients, and utilities."""

import logging
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from qcore.adapters.torch import nn as quant_nn
from qcore.adapters.torch import tensor_quant, utils
from qcore.adapters.torch.tensor_quant import QuantDescriptor
from qcore.adapters.torch.utils.reduce_amax import reduce_amax
from tests.adapters.torch.acceptance import (
    normal,
)


def test_s3_85_the_shape_of_amax_is_the_granularity() -> None:
    x = normal(4, 3, 5)
    amax = x.abs().amax((1, 2), keepdim=True)
    codes, scale = tensor_quant.TensorQuantFunction.apply(x, amax)
    assert codes.dtype == torch.float32
    assert scale.shape == (4, 1, 1)
    assert torch.equal(
        codes, (x * (torch.tensor(127.0) / amax)).round().clamp(-127, 127)
    )


@pytest.mark.parametrize(
    ("given", "low", "top"),
    [
        ({}, -127, 127),
        ({"num_bits": 4}, -7, 7),
        ({"narrow_range": False}, -128, 127),
        ({"unsigned": True}, 0, 255),
    ],
)
def test_s3_86_arguments_choose_the_levels(given: Any, low: int, top: int) -> None:
    x, amax = (normal(500).abs() if low == 0 else normal(500)), torch.tensor(0.75)
    outputs, scale = tensor_quant.tensor_quant(x, amax, **given)
    assert scale == torch.tensor(float(top)) / amax
    assert torch.equal(outputs, (x * scale).round().clamp(low, top))
    assert torch.equal(
        tensor_quant.fake_tensor_quant(x, amax, **given), outputs / scale
    )


def test_s3_87_a_negative_amax_and_an_infinite_scale_are_value_errors() -> None:
    with pytest.raises(ValueError, match="amax"):
        tensor_quant.tensor_quant(normal(3), torch.tensor(-1.0))
    with pytest.raises(ValueError, match="float16"):
        tensor_quant.tensor_quant(normal(3).half(), torch.tensor(1e-3).half())


def test_s3_87_a_negative_input_is_a_type_error_if_unsigned() -> None:
    for function in (tensor_quant.tensor_quant, tensor_quant.fake_tensor_quant):
        with pytest.raises(TypeError, match="unsigned"):
            function(torch.tensor([-1.0]), torch.tensor(1.0), unsigned=True)


@pytest.mark.parametrize(
    "function",
    [
        lambda x, amax: tensor_quant.tensor_quant(x, amax)[0],
        tensor_quant.fake_tensor_quant,
        tensor_quant.scaled_e4m3,
    ],
)
def test_s3_88_the_gradient_passes_within_amax(function: Any) -> None:
    x = torch.tensor([-1.01, -1.0, 0.3, 1.0, 1.01], requires_grad=True)
    function(x, torch.tensor(1.0)).sum().backward()
    assert x.grad.tolist() == [0, 1, 1, 1, 0]


@pytest.mark.parametrize(
    ("name", "cls"),
    [
        ("tensor_quant", "TensorQuantFunction"),
        ("fake_tensor_quant", "FakeTensorQuantFunction"),
        ("legacy_fake_tensor_quant", "LegacyFakeTensorQuantFunction"),
        ("scaled_e4m3", "ScaledE4M3Function"),
    ],
)
def test_s3_89_an_alias_applies_its_function(name: str, cls: str) -> None:
    alias, function = getattr(tensor_quant, name), getattr(tensor_quant, cls)
    x, amax = normal(50), torch.tensor(0.5)
    for found in (alias.apply(x, amax), function.apply(x, amax)):
        assert all(map(torch.equal, found, alias(x, amax)))


def test_s3_89_the_affine_alias_rounds_between_two_ends() -> None:
    x, step = normal(50), 3.0 / 15
    found = tensor_quant.fake_affine_tensor_quant(
        x, torch.tensor(-1.0), torch.tensor(2.0), num_bits=4
    )
    expected = ((x / step).round().clamp(-5, 10)) * step
    torch.testing.assert_close(found, expected)


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger, whose handlers are put back."""
    logger = logging.getLogger()
    before = list(logger.handlers)
    yield logger
    logger.handlers[:] = before


def test_s3_90_the_handlers_of_the_root_logger_are_removed(
    root: logging.Logger,
) -> None:
    root.addHandler(logging.NullHandler())
    utils.quant_logging.reset_logger_handler()
    assert root.handlers == []


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("axis", [None, 0, -1, (0, 2), (0, 1, 2)])
def test_s3_91_magnitudes_are_reduced_as_numpy_does(axis: Any, keepdims: bool) -> None:
    x = normal(2, 3, 4).requires_grad_()
    found = reduce_amax(input=x, axis=axis, keepdims=keepdims)
    expected = np.abs(x.detach().numpy()).max(axis, keepdims=keepdims)
    np.testing.assert_array_equal(found.numpy(), expected, strict=True)
    assert not found.requires_grad


@pytest.mark.parametrize(
    "given", [{"axis": 2}, {"axis": (0, 1, 0)}, {"granularity": "channel"}]
)
def test_s3_91_senseless_axes_are_value_errors(given: Any) -> None:
    with pytest.raises(ValueError, match="ax"):
        reduce_amax(normal(2, 3), **given)


def test_s3_91_the_name_is_a_module_that_is_called_as_before() -> None:
    assert isinstance(utils.reduce_amax, ModuleType)
    assert utils.reduce_amax(normal(9), keepdims=False) == normal(9).abs().max()


def test_s3_87_a_negative_amax_of_a_quantizer_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="amax"):
        quant_nn.TensorQuantizer(QuantDescriptor(amax=-1.0))
    with pytest.raises(ValueError, match="amax"):
        quant_nn.TensorQuantizer(QuantDescriptor(amax=1.0)).amax = torch.tensor(-1.0)
