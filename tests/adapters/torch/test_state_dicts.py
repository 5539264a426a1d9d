"""What is saved of a quantizer, and loaded into another."""

import logging
from collections.abc import Callable
from pathlib import Path

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
    fixed,
    images,
    net,
    reference,
    saved_and_loaded,
)


@each_kept
def test_s3_92_a_state_dict_makes_a_fresh_quantizer_the_same(
    make: Callable[[], TensorQuantizer],
) -> None:
    quantizer = make()
    told = {**quantizer.descriptor.dict(), "amax": None}
    fresh = TensorQuantizer(QuantDescriptor(**told), if_clip=quantizer.stages.clips)
    fresh.load_state_dict(saved_and_loaded(quantizer.state_dict(), map_location="cpu"))
    assert torch.equal(fresh(X), quantizer(X))
    assert fresh.state_dict().keys() == quantizer.state_dict().keys()


def test_s3_92_a_calibrated_network_is_restored_from_its_state_dict() -> None:
    before = net()
    torch.manual_seed(5)
    fresh = nn.Sequential(
        QuantConv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), QuantLinear(64, 5)
    )
    fresh.load_state_dict(saved_and_loaded(before.state_dict()))
    assert torch.equal(fresh(images()), before(images()))


def test_s3_92_a_file_of_pytorch_quantization_loads(tmp_path: Path) -> None:
    # That package's keys and shapes: amax 0-d of activations, (4, 1, 1, 1) of weights.
    torch.manual_seed(0)
    plain = nn.Conv2d(3, 4, 3)
    amax = plain.weight.detach().abs().amax((1, 2, 3), keepdim=True)
    state = {
        "conv.weight": plain.weight.detach(),
        "conv.bias": plain.bias.detach(),  # type: ignore[union-attr]
        "conv._input_quantizer._amax": torch.tensor(2.5),
        "conv._weight_quantizer._amax": amax,
    }
    torch.save(state, tmp_path / "model.pth")
    model = nn.Sequential()
    model.add_module("conv", QuantConv2d(3, 4, 3))
    loaded = torch.load(tmp_path / "model.pth", map_location="cpu", weights_only=True)
    assert str(model.load_state_dict(loaded)) == "<All keys matched successfully>"
    weight = torch.fake_quantize_per_channel_affine(
        plain.weight.detach(), amax.flatten() / 127, torch.zeros(4), 0, -128, 127
    )
    expected = nn.functional.conv2d(reference(images(), 2.5), weight, plain.bias)
    assert torch.equal(model(images()), expected)


def test_s3_92_amax_as_one_element_loads_too() -> None:
    quantizer = TensorQuantizer()
    quantizer.load_state_dict({"_amax": torch.tensor([2.5])})
    assert torch.equal(quantizer(X), reference(X, 2.5))


def test_s3_55_buffers_are_created_where_they_are_missing() -> None:
    quantizer = TensorQuantizer()
    assert not quantizer.state_dict()
    state = {"_amax": torch.tensor(3.0), "_pre_quant_scale": torch.tensor(0.5)}
    quantizer.load_state_dict(state)
    assert {name for name, _ in quantizer.named_buffers()} >= state.keys()
    assert torch.equal(quantizer(X), reference(X * 0.5, 3.0))


def test_s3_55_overwriting_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    model = nn.Sequential()
    model.add_module("act", fixed())
    with caplog.at_level(logging.WARNING):
        model.load_state_dict({"act._amax": torch.tensor(3.0)})
    assert "act: amax is overwritten." in caplog.messages
    assert torch.equal(model(X), reference(X, 3.0))


def test_a_state_dict_without_amax_leaves_it_and_is_an_error_unless_not_strict() -> (
    None
):
    quantizer = fixed()
    with pytest.raises(RuntimeError, match=r"Missing key.*_amax"):
        quantizer.load_state_dict({})
    quantizer.load_state_dict({}, strict=False)
    assert torch.equal(quantizer(X), reference(X, 2.0))


def test_assigned_state_is_followed() -> None:
    quantizer = TensorQuantizer()
    quantizer.load_state_dict({"_amax": torch.tensor(2.5)}, assign=True)
    assert torch.equal(quantizer(X), reference(X, 2.5))
