"""Observers in the flows of torch.ao: eager mode, FX and fake quantization."""

import sys
from abc import ABC
from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.ao import quantization as torch_ao
from torch.ao.quantization import quantize_fx

from qcore.adapters.torch.observers import (
    KLObserver,
    MinMaxObserver,
    MixObserver,
    MovingAveragePerChannelMinMaxObserver,
    MSEObserver,
    PercentileObserver,
)

# PyTorch warns of its own flows, which have users until they are gone: torch.ao is to
# be removed, so are quantized dtypes, and its default qconfigs use `reduce_range`.
pytestmark = [
    pytest.mark.filterwarnings("ignore:torch.ao.quantization is deprecated"),
    pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor, torch.quantize_per_"),
    pytest.mark.filterwarnings("ignore:Please use quant_min and quant_max"),
]

ACTIVATIONS = [KLObserver, MSEObserver, MinMaxObserver, MixObserver, PercentileObserver]


class Model(nn.Sequential):
    def __init__(self) -> None:
        torch.manual_seed(0)
        convolution = nn.Conv2d(3, 4, 3)
        super().__init__(convolution, nn.ReLU(), nn.Flatten(), nn.Linear(64, 10))
        self.eval()


def images(count: int = 8) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(count, 3, 6, 6, generator=generator)


def config(activation: type, weight: type = MSEObserver) -> torch_ao.QConfig:
    affine, channels = torch.per_tensor_affine, torch.per_channel_symmetric
    return torch_ao.QConfig(
        activation=activation.with_args(dtype=torch.quint8, qscheme=affine),
        weight=weight.with_args(dtype=torch.qint8, qscheme=channels, ch_axis=0),
    )


def eager(qconfig: torch_ao.QConfig) -> nn.Module:
    model = torch_ao.QuantWrapper(Model()).eval()
    model.qconfig = qconfig
    prepared = torch_ao.prepare(model)
    prepared(images())
    return torch_ao.convert(prepared)


def graph(qconfig: torch_ao.QConfig) -> nn.Module:
    mapping = torch_ao.QConfigMapping().set_global(qconfig)
    prepared = quantize_fx.prepare_fx(Model(), mapping, (images(),))
    prepared(images())
    return quantize_fx.convert_fx(prepared)


def sqnr(model: nn.Module) -> float:
    """Return the signal of the float model over the noise of another, in dB."""
    expected = Model()(images())
    noise = torch.mean((model(images()) - expected) ** 2)
    return 10 * torch.log10(torch.mean(expected**2) / noise).item()


@pytest.mark.parametrize("flow", [eager, graph])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_model_is_prepared_and_converted(
    flow: Callable[[torch_ao.QConfig], nn.Module], activation: type
) -> None:
    model = flow(config(activation))
    assert "Quantized" in repr(model)
    assert sqnr(model) > 28


def test_the_converted_model_has_our_scales() -> None:
    model = eager(config(MinMaxObserver, MovingAveragePerChannelMinMaxObserver))
    weight = Model()[0].weight.detach()
    scales = model.module[0].weight().q_per_channel_scales()
    expected = weight.abs().amax((1, 2, 3)) / 127
    torch.testing.assert_close(scales.float(), expected, rtol=1e-6, atol=0)
    low, high = images().min().item(), images().max().item()
    assert model.quant.scale.item() == pytest.approx((high - low) / 255)


def test_searched_scales_are_no_worse_than_those_of_torch_ao() -> None:
    ours = sqnr(eager(config(MSEObserver)))
    theirs = sqnr(eager(torch_ao.get_default_qconfig("x86")))
    assert ours >= theirs - 0.5


@pytest.mark.parametrize("dtype", [torch.qint8, torch.quint8])
def test_fake_quantize_takes_our_observers(dtype: torch.dtype) -> None:
    fake = torch_ao.FakeQuantize(
        observer=MSEObserver,
        quant_min=torch.iinfo(dtype).min,
        quant_max=torch.iinfo(dtype).max,
        dtype=dtype,
        qscheme=torch.per_channel_affine,
        ch_axis=1,
    )
    x = images().requires_grad_()
    found = fake(x)
    assert fake.scale.shape == (3,)
    assert (found - x).abs().max() < 0.05
    found.sum().backward()
    assert x.grad.mean() > 0.9


def test_narrow_weights_of_torch_ao() -> None:  # FakeQuantize gives both bounds
    fake = torch_ao.FakeQuantize(
        observer=MinMaxObserver, quant_min=-127, quant_max=127, dtype=torch.qint8
    )
    x = torch.tensor([-1.27, 0.013])
    torch.testing.assert_close(fake(x), torch.tensor([-1.27, 0.01]))


def test_observers_are_those_of_torch_ao() -> None:
    assert issubclass(MinMaxObserver, torch_ao.ObserverBase)
    assert torch_ao.observer._is_activation_post_process(KLObserver())


def test_torchao_takes_our_observers_for_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class ObserverBase(ABC):  # noqa: B024 - stands for the class that PT2E looks for
        pass

    loaded = SimpleNamespace(ObserverBase=ObserverBase)
    monkeypatch.setitem(sys.modules, "torchao.quantization.pt2e", loaded)
    assert isinstance(KLObserver(), ObserverBase)
