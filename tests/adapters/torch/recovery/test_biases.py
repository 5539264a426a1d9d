"""Bias correction of PyTorch models."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from qcore.adapters.torch import correct_biases, export_onnx, quantize, recover
from qcore.adapters.torch.nn import QuantConv2d, QuantLinear
from tests.adapters.torch.recovery.residual import COARSE, Residual


@torch.no_grad()
def means(model: nn.Module, data: list[torch.Tensor]) -> dict[str, np.ndarray]:
    """Return the mean output of each layer per channel, counted by NumPy."""
    seen: dict[str, list[np.ndarray]] = {}
    handles = [
        layer.register_forward_hook(
            lambda _, __, y, name=name: seen.setdefault(name, []).append(
                np.moveaxis(y.numpy(), 1, -1).reshape(-1, y.shape[1])
            )
        )
        for name, layer in model.named_children()
    ]
    for batch in data:
        model(batch)
    for handle in handles:
        handle.remove()
    return {k: np.concatenate(v).mean(0, dtype=np.float64) for k, v in seen.items()}


def test_every_layer_has_the_mean_output_of_the_float_model(
    model: Residual, data: list[torch.Tensor]
) -> None:
    expected = means(model, data)
    quantize(model, COARSE, data)
    before = means(model, data)
    assert correct_biases(model, data) is model
    after = means(model, data)
    # Biases move in steps of the accumulators, and the layer that is used twice sees
    # its own correction.
    for name in ("first", "up", "head"):
        lost = abs(before[name] - expected[name]).max()
        assert abs(after[name] - expected[name]).max() < min(2e-3, lost / 4)
    lost = abs(before["twice"] - expected["twice"]).mean()
    assert abs(after["twice"] - expected["twice"]).mean() < lost / 2


def test_how_the_data_is_cut_does_not_matter(data: list[torch.Tensor]) -> None:
    whole = torch.cat(data)
    ways = [data, [whole], [x[None] for x in whole.flip(0)]]
    found = []
    for batches in ways:
        torch.manual_seed(3)
        one = quantize(Residual().eval(), COARSE, batches, recover="bias")
        found.append([p.detach() for n, p in one.named_parameters() if "bias" in n])
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-6)


def test_a_layer_without_bias_gets_one(data: list[torch.Tensor]) -> None:
    model = Residual(bias=False)
    expected = means(model, data)["first"]
    quantize(model, COARSE, data, recover=True)
    assert isinstance(model.first.bias, nn.Parameter)
    assert "first.bias" in model.state_dict()
    assert abs(means(model, data)["first"] - expected).max() < 1e-3


def test_biases_are_multiples_of_the_product_of_scales(
    model: Residual, data: list[torch.Tensor]
) -> None:
    quantize(model, COARSE, data, recover=True)
    for layer in (model.first, model.twice, model.head):
        of_input = layer._input_quantizer.qparams().scale.double()
        of_weight = layer._weight_quantizer.qparams().scale.double().reshape(-1)
        codes = (layer.bias.double() / (of_input.reshape(-1) * of_weight)).detach()
        torch.testing.assert_close(codes, codes.round(), rtol=1e-6, atol=1e-6)


def test_beside_float_inputs_biases_are_not_rounded(
    model: Residual, data: list[torch.Tensor]
) -> None:
    expected = means(model, data)["first"]
    rule = {"type": "Conv2d", "weight": COARSE["weight"]}
    quantize(model, rule, data, recover=True)
    np.testing.assert_allclose(means(model, data)["first"], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Linear(4, 3), (10, 4)),
        (nn.Linear(4, 3), (4,)),
        (nn.Conv1d(2, 3, 2), (2, 9)),
        (nn.Conv1d(2, 3, 2), (2, 2, 9)),
    ],
    ids=["rows", "vector", "unbatched", "batched"],
)
def test_channels_are_found_in_inputs_of_any_rank(
    layer: nn.Module, shape: tuple[int, ...]
) -> None:
    x = torch.rand(shape)
    model = nn.Sequential(layer)
    expected = model(x).detach()
    quantize(model, COARSE, [x], recover=True)
    axis = -2 if isinstance(layer, nn.Conv1d) else -1
    shift = (model(x) - expected).detach().movedim(axis, 0).reshape(3, -1).mean(1)
    assert abs(shift).max() < 1e-3


@pytest.mark.parametrize("level", ["bias", "full"])
@torch.no_grad()
def test_biases_of_tokens_leave_what_the_inputs_err(level: str) -> None:
    torch.manual_seed(6)
    model, x = nn.Sequential(nn.Linear(4, 3)), torch.rand(2, 50, 4)
    quantize(model, COARSE, [x])
    model[0]._input_quantizer.amax = 0.5  # the largest saturate
    weight = nn.Parameter(torch.randn(3, 4))
    before = torch.nn.functional.linear(x, weight, model[0].bias)
    model[0].weight = weight
    expected = (model[0]._input_quantizer(x) - x).mean((0, 1)) @ weight.detach().T
    recover(model, [x], level=level)
    shift = (model(x) - before).mean((0, 1))
    assert abs(expected).max() > 0.05
    assert abs(shift - expected).max() < 2e-3


@pytest.mark.parametrize("kind", ["generator", "function"])
def test_data_that_is_gone_through_once_is_enough(
    model: Residual, data: list[torch.Tensor], kind: str
) -> None:
    def loop(model: nn.Module) -> None:
        for batch in data:
            assert model(batch).shape == (4, 5)

    once = quantize(
        model, COARSE, iter(data) if kind == "generator" else loop, recover=True
    )
    torch.manual_seed(3)
    expected = quantize(Residual().eval(), COARSE, data, recover=True)
    for a, b in zip(once.parameters(), expected.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("kind", ["caller", "model"])
def test_tensors_may_be_written_into(
    model: Residual, data: list[torch.Tensor], kind: str
) -> None:
    def loop(model: nn.Module) -> None:
        room = torch.empty(4, 2, 6, 6)
        for batch in data:
            model(room.copy_(batch))

    expected = quantize(copy.deepcopy(model), COARSE, data, recover="bias")
    if kind == "model":
        model.register_forward_pre_hook(lambda _, args: args[0].mul_(2))
        given = [batch / 2 for batch in data]
        quantize(model, COARSE, [batch.clone() for batch in given])
        correct_biases(model, given)
    else:
        quantize(model, COARSE, loop, recover="bias")
    for a, b in zip(model.parameters(), expected.parameters(), strict=True):
        assert torch.equal(a, b)


def test_the_model_is_as_it_was_but_for_its_biases(
    model: Residual, data: list[torch.Tensor]
) -> None:
    quantize(model, COARSE, data)
    model.train()
    model.head._input_quantizer.disable_quant()
    before = {n: p.clone() for n, p in model.state_dict().items() if "bias" not in n}
    stages = model.head._input_quantizer.stages
    correct_biases(model, data)
    assert model.training
    assert model.head._input_quantizer.stages == stages
    assert not model._forward_pre_hooks
    assert not model.head._forward_hooks
    after = model.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_powers_of_two_give_the_bits_of_onnxruntime(
    data: list[torch.Tensor], tmp_path: Path
) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    torch.manual_seed(5)
    network = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 8, 3), nn.ReLU6()
    )
    quantize(network.eval(), "int8_power_of_two", data, recover=True)
    for layer in (network[0], network[2]):
        assert isinstance(layer, QuantConv2d | QuantLinear)
        for quantizer in (layer._input_quantizer, layer._weight_quantizer):
            mantissa, _ = np.frexp(quantizer.qparams().scale.numpy())
            assert (mantissa == 0.5).all()
    path = tmp_path / "network.onnx"
    export_onnx(network, (data[0],), path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (name,) = [taken.name for taken in session.get_inputs()]
    for batch in data:
        (found,) = session.run(None, {name: batch.numpy()})
        np.testing.assert_array_equal(found, network(batch).detach().numpy())
