"""A transformer's block whose outliers are moved into its weights."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from qcore import NoDataError, NonFiniteError, QuantError, QuantSpec
from qcore.adapters.torch import quantize, smooth

PAIRS: list[Any] = [
    ("first", ["q", "k", "v"]),
    ("v", "o"),
    ("second", ["up"]),
    ("up", ["down"]),
]
SEARCH: dict[str, Any] = {
    "alpha": None,
    "input_spec": QuantSpec("int8", symmetric=False),
    "weight_spec": QuantSpec("int8"),
}
RULE = {
    "type": "Linear",
    "input": {"num_bits": 8, "calib_method": "max", "symmetric": False},
    "weight": {"num_bits": 8, "axis": None, "calib_method": "max"},
}
WIDTH, HEADS = 16, 2


class Block(nn.Module):
    """Attention and two layers, with outliers in both norms."""

    def __init__(self, norm: type[nn.Module] = nn.LayerNorm) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.first, self.second = norm(WIDTH), norm(WIDTH)
        self.q, self.k, self.v, self.o = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.up, self.down = nn.Linear(WIDTH, 64), nn.Linear(64, WIDTH)
        gain = torch.ones(WIDTH)
        gain[[2, 7]] = 40  # as norms of language models have them
        with torch.no_grad():
            for one in (self.first, self.second):
                one.weight.copy_(gain)
                if norm is nn.LayerNorm:
                    one.bias.copy_(gain * torch.randn(WIDTH) / 4)
            for layer in (self.q, self.k, self.v, self.up):
                layer.weight.div_(gain)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the outputs of the block."""
        y = self.first(x)
        q, k, v = (
            layer(y).reshape(*x.shape[:-1], HEADS, -1).transpose(1, 2)
            for layer in (self.q, self.k, self.v)
        )
        mixed = functional.scaled_dot_product_attention(q, k, v)
        x = x + self.o(mixed.transpose(1, 2).reshape(x.shape))
        hidden = torch.relu(self.up(self.second(x)))
        return x + torch.as_tensor(self.down(hidden))


@pytest.fixture
def model() -> Block:
    return Block().eval()


@pytest.fixture
def data() -> list[torch.Tensor]:
    torch.manual_seed(4)
    return [torch.randn(4, 9, WIDTH) for _ in range(2)]


@torch.no_grad()
def lost(model: nn.Module, other: nn.Module, data: list[torch.Tensor]) -> float:
    return float(sum(((model(x) - other(x)) ** 2).mean() for x in data))


@pytest.mark.parametrize("options", [{}, SEARCH], ids=["usual", "searched"])
@pytest.mark.parametrize("norm", [nn.LayerNorm, nn.RMSNorm])
def test_the_model_stays_and_loses_less_in_8_bits(
    norm: type[nn.Module], options: dict[str, Any], data: list[torch.Tensor]
) -> None:
    model = Block(norm).train()
    smoothed = copy.deepcopy(model)
    assert smooth(smoothed, data, PAIRS, **options) is smoothed
    assert smoothed.training
    for x in data:
        torch.testing.assert_close(smoothed(x), model(x), rtol=0, atol=2e-5)
    after, before = (
        lost(model, quantize(copy.deepcopy(one), RULE, data), data)
        for one in (smoothed, model)
    )
    assert after < 0.1 * before
    recovered = quantize(smoothed, RULE, data, recover=True)
    assert lost(model, recovered, data) < after


@pytest.mark.parametrize(("options", "alpha"), [({"alpha": 0.5}, 0.5), ({}, 0.75)])
def test_channels_are_divided_by_the_paper_s_scale(
    model: Block, data: list[torch.Tensor], options: dict[str, float], alpha: float
) -> None:
    before = {name: p.detach().numpy().copy() for name, p in model.named_parameters()}
    smooth(model, iter(data), PAIRS[:1], **options)
    after = {name: p.detach().numpy() for name, p in model.named_parameters()}
    x = np.concatenate(data).astype(np.float64)
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    x = x * before["first.weight"] + before["first.bias"]
    weights = np.stack([before[f"{name}.weight"] for name in "qkv"])
    largest = np.abs(weights).max((0, 1))
    scale = np.abs(x).max((0, 1)) ** alpha / largest ** (1 - alpha)
    expected = dict(before)
    for name in ("first.weight", "first.bias"):
        expected[name] = before[name] / scale
    for name in "qkv":
        expected[f"{name}.weight"] = before[f"{name}.weight"] * scale
    for name, value in expected.items():
        np.testing.assert_allclose(after[name], value, rtol=1e-5, err_msg=name)


def test_half_precision_stays(model: Block, data: list[torch.Tensor]) -> None:
    smooth(model.bfloat16(), [x.bfloat16() for x in data], PAIRS, alpha=0.5)
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}


@pytest.mark.parametrize(
    ("pairs", "error", "said"),
    [
        (["first"], TypeError, "pairs of the names"),
        ([("frist", "q")], ValueError, "'frist': did you mean 'first'"),
        ([("first", "second")], QuantError, "second is a LayerNorm"),
        ([("first", "down")], QuantError, "first is a LayerNorm for readers of .64."),
        ([("first", ["q", "up"])], QuantError, "those of q and up differ"),
        ([("first", ["q", "k"])], QuantError, "compute the same"),
        ([("first", [])], QuantError, "makers must be"),
    ],
)
def test_what_would_change_the_model_is_refused(
    model: Block,
    data: list[torch.Tensor],
    pairs: Any,
    error: type[Exception],
    said: str,
) -> None:
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(error, match=said):
        smooth(model, data, pairs, alpha=0.5)
    after = model.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert not model._forward_hooks
    assert not model.q._forward_pre_hooks


def test_a_quantized_model_is_refused(model: Block, data: list[torch.Tensor]) -> None:
    with pytest.raises(QuantError, match="not quantized yet; q is a QuantLinear"):
        smooth(quantize(model, RULE, data), data, PAIRS)


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ([], NoDataError, "q saw nothing"),
        ([torch.full((1, 2, WIDTH), torch.nan)], NonFiniteError, "that of q holds"),
    ],
)
def test_data_must_be_there_and_finite(
    model: Block, given: Any, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        smooth(model, given, PAIRS)


def test_numbers_that_were_not_finite_before_may_be_so_again(
    model: Block, data: list[torch.Tensor]
) -> None:
    def hide(_: nn.Module, __: Any, result: torch.Tensor) -> torch.Tensor:
        return result.masked_fill(result > 0, -torch.inf)

    model.register_forward_hook(hide)
    before = model(data[0])
    torch.testing.assert_close(smooth(model, data, PAIRS)(data[0]), before)
