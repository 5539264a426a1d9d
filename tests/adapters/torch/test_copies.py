"""Quantizers that are copied, pickled and moved."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from qcore.adapters.torch.nn.modules.quant_conv import QuantConv2d
from qcore.adapters.torch.nn.modules.quant_linear import QuantLinear
from qcore.adapters.torch.nn.modules.tensor_quantizer import TensorQuantizer
from qcore.adapters.torch.quantizer.descriptor import QuantDescriptor
from tests.adapters.torch.quantizer_kinds import (
    X,
    each_kept,
    each_kind,
    each_scaled,
    fixed,
    images,
    net,
    reference,
)


@each_kind
@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda q: pickle.loads(pickle.dumps(q))]
)
def test_a_copy_computes_the_same(
    make: Callable[[], TensorQuantizer], copied: Callable[[Any], TensorQuantizer]
) -> None:
    quantizer = make()
    assert torch.equal(copied(quantizer)(X), quantizer(X))
    assert str(copied(quantizer)) == str(quantizer)


def test_a_copy_has_a_range_of_its_own() -> None:
    quantizer = fixed()
    other = copy.deepcopy(quantizer)
    other.amax = 1.0
    assert torch.equal(quantizer(X), reference(X, 2.0))
    assert torch.equal(other(X), reference(X, 1.0))


def test_a_copy_keeps_what_was_collected_and_collects_alone() -> None:
    quantizer = TensorQuantizer(QuantDescriptor(calib_method="mse"))
    quantizer.collect(X)
    other = copy.deepcopy(quantizer)
    other.collect(10 * X)
    quantizer.load_calib_amax("max")
    assert quantizer.amax == X.abs().max()


@each_kept
@pytest.mark.parametrize("move", [nn.Module.half, nn.Module.double, nn.Module.bfloat16])
def test_ranges_and_scales_stay_float32(
    make: Callable[[], TensorQuantizer], move: Callable[[nn.Module], nn.Module]
) -> None:
    quantizer = make()
    before = dict(copy.deepcopy(quantizer).named_buffers())
    for name, buffer in move(quantizer).named_buffers():
        assert buffer.dtype == before[name].dtype
        assert torch.equal(buffer, before[name])


@each_scaled
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_a_model_may_change_its_dtype(
    make: Callable[[], TensorQuantizer], dtype: torch.dtype
) -> None:
    quantizer, x = make(), X.to(dtype)
    # float32 holds what 16 bits hold; codes are computed in it, or in float64.
    expected = quantizer(x.float()).detach()
    found = quantizer.to(dtype)(x)
    assert found.dtype == dtype
    torch.testing.assert_close(found.detach().float(), expected, rtol=0.01, atol=0)


@each_kind
def test_a_model_may_go_to_the_meta_device(make: Callable[[], TensorQuantizer]) -> None:
    found = make().to("meta")(X.to("meta"))
    assert (found.shape, found.device.type) == (X.shape, "meta")


def test_an_empty_model_on_meta_is_filled_from_a_state_dict() -> None:
    before = net()
    with torch.device("meta"):
        fresh = nn.Sequential(
            QuantConv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), QuantLinear(64, 5)
        )
    fresh.to_empty(device="cpu")
    fresh.load_state_dict(before.state_dict())
    assert torch.equal(fresh(images()), before(images()))
