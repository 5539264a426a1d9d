"""Models whose weights are rounded for their output, and their biases corrected."""

import copy
from math import prod
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from qcore.adapters.torch import quantize, recover

WEIGHT = {"num_bits": 3, "axis": "output", "calib_method": "max"}
COARSE = {"input": {"num_bits": 8, "calib_method": "max", "symmetric": False}}


def made(seed: int, *shape: int) -> torch.Tensor:
    """Inputs that have much in common, and a mean."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(shape, generator=generator)
    mixed = sum(x.roll(i, axis) for axis in range(1, x.ndim) for i in range(3))
    return torch.relu(torch.as_tensor(mixed))


def layer(kind: type[nn.Module], *args: Any, **options: Any) -> nn.Sequential:
    torch.manual_seed(5)
    return nn.Sequential(kind(*args, **options)).eval()


@torch.no_grad()
def errors(model: nn.Module, other: nn.Module, data: list[torch.Tensor]) -> np.ndarray:
    """Return what each output of a single layer loses, ``[N, outputs]``."""
    axis = -1 if isinstance(model[0], nn.Linear) else 1
    lost = [(other(x) - model(x)).double().movedim(axis, -1) for x in data]
    return np.concatenate([x.reshape(-1, x.shape[-1]).numpy() for x in lost])


LAYERS: dict[str, Any] = {
    "linear": (nn.Linear, (8, 6), {}, (45, 8)),
    "without bias": (nn.Linear, (8, 6), {"bias": False}, (40, 8)),
    "line": (nn.Conv1d, (4, 6, 3), {"padding": "same", "dilation": 2}, (3, 4, 15)),
    "plane": (nn.Conv2d, (4, 6, (3, 2)), {"stride": (2, 1)}, (3, 4, 9, 8)),
    "groups": (nn.Conv2d, (4, 6, 3), {"padding": (1, 2), "groups": 2}, (3, 4, 9, 8)),
    "depthwise": (nn.Conv2d, (4, 8, 3), {"padding": 1, "groups": 4}, (3, 4, 9, 8)),
    "mirrored": (
        nn.Conv2d,
        (4, 6, 3),
        {"padding": 1, "padding_mode": "reflect"},
        (3, 4, 9, 8),
    ),
    "space": (nn.Conv3d, (3, 4, 2), {"padding": 1}, (2, 3, 4, 5, 3)),
    "spread line": (nn.ConvTranspose1d, (4, 6, 3), {"stride": 2}, (3, 4, 15)),
    "spread": (
        nn.ConvTranspose2d,
        (4, 6, (3, 4)),
        {"stride": (2, 3), "padding": 1, "output_padding": (1, 2), "groups": 2},
        (3, 4, 5, 4),
    ),
    "spread space": (
        nn.ConvTranspose3d,
        (3, 4, 2),
        {"dilation": 2, "padding": (1, 0, 2)},
        (2, 3, 4, 5, 3),
    ),
}


@pytest.mark.parametrize("inputs", ["int8", "float"])
@pytest.mark.parametrize("case", LAYERS)
def test_outputs_keep_their_means_and_vary_less(case: str, inputs: str) -> None:
    kind, args, options, shape = LAYERS[case]
    data = [made(seed, *shape) for seed in range(3)]
    model = layer(kind, *args, **options)
    rule: Any = {"type": kind.__name__, "weight": WEIGHT}
    rule |= COARSE if inputs == "int8" else {}
    found = quantize(copy.deepcopy(model), rule, data)
    before = errors(model, found, data)
    recover(found, data)
    after = errors(model, found, data)
    half_a_step = 0.0
    if inputs == "int8":  # of an integer bias
        scales = (found[0]._input_quantizer, found[0]._weight_quantizer)
        half_a_step = prod(float(q.qparams().scale.max()) for q in scales) / 2
    np.testing.assert_allclose(after.mean(0), 0, atol=half_a_step + 1e-5)
    assert (after.var(0) <= before.var(0) * 1.01).all()
    assert after.var() < before.var()


class Network(nn.Module):
    """Layers that share nothing, share a weight, and run twice."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.first = nn.Linear(8, 16)
        self.second = nn.Linear(16, 16)
        self.last = nn.Linear(16, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the outputs of the last."""
        x = torch.relu(self.first(x))
        x = torch.relu(self.second(x)) + x
        x = torch.relu(self.second(x))
        found: torch.Tensor = self.last(x)
        return found


RULE = {"type": "Linear", "weight": WEIGHT, **COARSE}


@pytest.fixture
def model() -> Network:
    return Network().eval()


@pytest.fixture
def data() -> list[torch.Tensor]:
    return [made(seed, 40, 8) for seed in range(3)]


@torch.no_grad()
def lost(model: nn.Module, other: nn.Module, data: list[torch.Tensor]) -> float:
    return float(sum(((model(x) - other(x)) ** 2).mean() for x in data))


def quantized(
    model: nn.Module, data: list[torch.Tensor], rule: Any = RULE, **options: Any
) -> Any:
    return quantize(copy.deepcopy(model), rule, data, **options)


def test_each_level_loses_less_than_the_one_below(
    model: Network, data: list[torch.Tensor]
) -> None:
    none, bias, gptq, full, true = (
        lost(model, quantized(model, data, recover=level), data)
        for level in ("none", "bias", "gptq", "full", True)
    )
    assert gptq < 0.7 * bias < 0.7 * none
    assert gptq == full == true


def test_two_runs_give_the_same(model: Network, data: list[torch.Tensor]) -> None:
    first, second = (
        quantized(model, data, recover=True).state_dict() for _ in range(2)
    )
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_how_data_is_cut_into_batches_changes_no_weight() -> None:
    model = layer(nn.Conv2d, 4, 6, 3, padding=1)
    data = [made(0, 6, 4, 7, 8)]
    rule = {"type": "Conv2d", "weight": WEIGHT, **COARSE}
    whole = quantized(model, data, rule, recover=True)
    parts = quantized(model, [x[None] for x in data[0]], rule, recover=True)
    assert torch.equal(whole[0].weight, parts[0].weight)


def test_weights_are_what_codes_stand_for(
    model: Network, data: list[torch.Tensor]
) -> None:
    found = quantized(model, data, recover=True)
    for one in (found.first, found.second, found.last):
        assert torch.equal(one._weight_quantizer(one.weight), one.weight)
        steps = one.weight / one._weight_quantizer.qparams().scale
        torch.testing.assert_close(steps, steps.round(), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "weight",
    [
        {"num_bits": (4, 3), "axis": "output"},
        {"num_bits": 4, "block_sizes": {-1: 4}},
        {"num_bits": 4, "axis": None},
    ],
    ids=["float", "blocks", "one scale"],
)
def test_formats_and_granularities_may_be_any(
    model: Network, data: list[torch.Tensor], weight: Any
) -> None:
    rule = {"type": "Linear", "weight": weight, **COARSE}
    bias, full = (
        lost(model, quantized(model, data, rule, recover=level), data)
        for level in ("bias", "full")
    )
    assert full < 0.9 * bias


def test_half_precision_stays(model: Network, data: list[torch.Tensor]) -> None:
    model, data = model.bfloat16(), [x.bfloat16() for x in data]
    found = quantized(model, data, recover=True)
    assert found.first.weight.dtype == torch.bfloat16
    assert lost(model, found, data) < lost(model, quantized(model, data), data)


@pytest.mark.parametrize("kind", ["shared", "disabled"])
def test_weights_that_are_not_a_layers_own_or_fixed_stay(
    model: Network, data: list[torch.Tensor], kind: str
) -> None:
    found = quantized(model, data)
    if kind == "shared":
        found.extra = nn.Linear(16, 16)
        found.extra.weight = found.second.weight
    else:
        found.second._weight_quantizer.disable()
    recover(found, data)
    assert torch.equal(found.second.weight, model.second.weight)
    assert not torch.equal(found.second.bias, model.second.bias)
    assert not torch.equal(found.last.weight, model.last.weight)


def test_after_an_error_all_is_what_it_was(
    model: Network, data: list[torch.Tensor]
) -> None:
    found = quantized(model, data)
    before = {name: value.clone() for name, value in found.state_dict().items()}

    def fail(*_: object) -> None:
        if not torch.equal(found.first.weight, before["first.weight"]):
            raise KeyboardInterrupt

    handle = found.last.register_forward_hook(fail)
    with pytest.raises(KeyboardInterrupt):
        recover(found, data)
    handle.remove()
    after = found.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert not found.first._forward_hooks


def test_an_unknown_level_is_refused(model: Network, data: list[torch.Tensor]) -> None:
    with pytest.raises(ValueError, match="got 'gtpq': did you mean 'gptq'"):
        recover(quantized(model, data), data, level="gtpq")  # type: ignore[arg-type]
