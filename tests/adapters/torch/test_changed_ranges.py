"""Ranges that somebody else changes."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from qcore.adapters.torch.nn.modules.quant_linear import QuantLinear
from qcore.adapters.torch.nn.modules.tensor_quantizer import TensorQuantizer
from qcore.adapters.torch.quantizer.descriptor import QuantDescriptor
from tests.adapters.torch.quantizer_kinds import (
    X,
    fixed,
    images,
    reference,
)


@pytest.mark.parametrize(
    "change",
    [
        lambda q: q._amax.fill_(1.0),
        lambda q: q._amax.mul_(0.5),
        lambda q: setattr(q, "_amax", torch.tensor(1.0)),
        lambda q: setattr(q, "amax", 1),
        lambda q: q.register_buffer("_amax", torch.tensor(1.0)),
        lambda q: q._buffers.update(_amax=torch.tensor(1.0)),
        lambda q: q.load_state_dict({"_amax": torch.tensor(1.0)}),
    ],
)
def test_a_changed_range_is_used_at_once(change: Callable[[Any], Any]) -> None:
    quantizer = fixed(2.0)
    quantizer(X)
    change(quantizer)
    assert torch.equal(quantizer(X), reference(X, 1.0))
    assert quantizer.amax == 1


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad])
def test_what_was_calibrated_without_gradients_can_be_trained(
    mode: Callable[[], Any],
) -> None:
    layer = QuantLinear(8, 4)
    with mode():
        for quantizer, data in (
            (layer.input_quantizer, X),
            (layer.weight_quantizer, layer.weight),
        ):
            quantizer.collect(data)
            quantizer.load_calib_amax()
            layer(X)
    layer(X).sum().backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.abs().sum() > 0
    assert torch.equal(layer.input_quantizer(X), reference(X, X.abs().max()))


def test_a_learned_scale_started_in_inference_mode_is_trained() -> None:
    quantizer = TensorQuantizer(QuantDescriptor(learn_scale=True))
    with torch.inference_mode():
        quantizer.collect(X)
        quantizer.load_calib_amax()
        quantizer.init_learn_scale()
    quantizer(X).square().sum().backward()
    assert quantizer.learned_scale.grad is not None


@pytest.mark.parametrize("change", ["data", "numpy"])
def test_a_range_changed_without_a_trace_is_followed(change: str) -> None:
    quantizer = TensorQuantizer(QuantDescriptor(amax=4.0))
    data = images()
    quantizer(data)
    if change == "data":
        quantizer._amax.data.clamp_(max=0.5)
    else:
        quantizer._amax.numpy()[...] = 0.5
    assert torch.equal(quantizer(data), reference(data, 0.5))


def test_a_range_assigned_to_a_fresh_quantizer_is_used_and_saved() -> None:
    quantizer = TensorQuantizer()
    quantizer._amax = torch.tensor(0.5)
    assert torch.equal(quantizer(images()), reference(images(), 0.5))
    assert quantizer.state_dict()["_amax"] == 0.5
    with pytest.raises(TypeError, match="learn_amax"):
        TensorQuantizer()._amax = nn.Parameter(torch.tensor(0.5))


def test_a_number_for_a_range_lies_where_the_module_does() -> None:
    quantizer = TensorQuantizer().to("meta")
    quantizer.pre_quant_scale = 2.0
    assert quantizer.pre_quant_scale.device.type == "meta"
