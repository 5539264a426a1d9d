import copy
import pickle

import pytest
import torch
from torch import nn

from qcore.adapters.torch.calibration.model import calibrate
from qcore.adapters.torch.nn.modules.tensor_quantizer import TensorQuantizer
from qcore.adapters.torch.quantize import quantize
from qcore.adapters.torch.quantizer.descriptor import QuantDescriptor
from qcore.adapters.torch.rewriting.residuals import quantize_residuals


def added_in_place(out, identity):
    out += identity
    return out


ADDITIONS = [
    added_in_place,
    lambda out, identity: out + identity,
    lambda out, identity: identity + out,
    torch.add,
    lambda out, identity: out.add_(identity),
    lambda out, identity: out.add(identity),
]


class BasicBlock(nn.Module):
    """As in torchvision."""

    def __init__(self, inner, outer, addition=added_in_place):
        super().__init__()
        self.addition = addition
        self.conv1 = nn.Conv2d(inner, outer, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outer)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(outer, outer, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outer)
        self.downsample = None
        if inner != outer:
            self.downsample = nn.Sequential(
                nn.Conv2d(inner, outer, 1, bias=False), nn.BatchNorm2d(outer)
            )

    def forward(self, x):
        identity = x
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.downsample is not None:
            identity = self.downsample(x)
        out = self.addition(out, identity)
        return self.relu(out)


class Bottleneck(BasicBlock):
    """As in torchvision."""

    def __init__(self, inner, outer):
        super().__init__(inner, outer)
        self.conv3 = nn.Conv2d(outer, outer, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outer)

    def forward(self, x):
        identity = x
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        if self.downsample is not None:
            identity = self.downsample(x)
        out += identity
        return self.relu(out)


def fake(x):
    step = x.abs().max() / 127
    return (x / step).round() * step


@torch.no_grad()
@pytest.mark.parametrize("addition", ADDITIONS)
@pytest.mark.parametrize("outer", [4, 6])
def test_s3_29_the_identity_branch_is_quantized(addition, outer):
    block, x = BasicBlock(4, outer, addition).eval(), torch.randn(2, 4, 5, 5)
    identity = x if outer == 4 else block.downsample(x)
    out = block.bn2(block.conv2(block.relu(block.bn1(block.conv1(x)))))

    found = calibrate(quantize_residuals(block), [x])(x)
    torch.testing.assert_close(found, (out + fake(identity)).relu())


@torch.no_grad()
@pytest.mark.parametrize("outer", [4, 6])
def test_s3_29_bottlenecks(outer):
    block, x = Bottleneck(4, outer).eval(), torch.randn(2, 4, 5, 5)
    model = quantize_residuals(nn.Sequential(block))

    calibrate(model, [x])
    identity = x if outer == 4 else block.downsample(x)
    assert model[0].residual_quantizer.amax == identity.abs().max()


@torch.no_grad()
def test_a_disabled_quantizer_changes_nothing():
    block, x = BasicBlock(4, 4).eval(), torch.randn(2, 4, 5, 5)
    expected = block(x)

    block = quantize_residuals(block)
    block.residual_quantizer.disable()
    assert torch.equal(block(x), expected)


@pytest.mark.parametrize("quantized_first", [True, False])
def test_it_goes_with_quantized_modules(quantized_first):
    model, x = nn.Sequential(BasicBlock(4, 6)).eval(), torch.randn(2, 4, 5, 5)
    model = quantize(model) if quantized_first else model

    model = quantize_residuals(model)
    model = calibrate(model, [x]) if quantized_first else quantize(model, None, [x])
    names = [n for n, m in model.named_modules() if isinstance(m, TensorQuantizer)]
    assert len(names) == 2 * 3 + 1
    assert "0.conv2._input_quantizer" in names
    assert "0.residual_quantizer" in names


def test_parameters_children_and_mode_are_kept():
    block = BasicBlock(4, 4).eval()
    block.register_buffer("unused", torch.ones(1), persistent=False)
    block.add_module("spare", nn.Linear(1, 1))
    before = dict(block.named_parameters())

    made = quantize_residuals(block)
    assert all(made.get_parameter(name) is p for name, p in before.items())
    assert made.unused == 1
    assert set(made.state_dict()) == set(block.state_dict())
    assert not made.training


class Transformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(4, 4), nn.Linear(4, 4)
        self.place = nn.Parameter(torch.ones(4))

    def forward(self, x):
        x = x + self.place
        x = x + self.one(x)
        return x + self.two(x) + 1


def test_every_addition_has_its_own_and_constants_have_none():
    model = quantize_residuals(nn.Sequential(Transformer()))

    names = [n for n, m in model.named_modules() if isinstance(m, TensorQuantizer)]
    assert names == ["0.residual_quantizer", "0.residual_quantizer_1"]
    assert "residual_quantizer + one" in model[0].code


class Parallel(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x):
        two = self.two(x)
        return self.one(x) + two


def test_of_equal_branches_the_first_is_quantized():
    model = quantize_residuals(Parallel())

    assert "residual_quantizer(two)" in model.code


class Branching(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x):
        return x + self.layer(x) if x.sum() > 0 else x


class Dropping(Branching):
    def forward(self, x):
        return x + nn.functional.dropout(self.layer(x), training=self.training)


def test_what_cannot_be_traced_is_left_and_reported(caplog):
    hooked = Transformer()
    hooked.register_forward_hook(lambda *_: None)
    model = nn.Sequential(Branching(), Dropping(), hooked, BasicBlock(4, 4))
    quantize_residuals(model)

    assert type(model[0]) is Branching
    assert type(model[1]) is Dropping
    assert type(model[2]) is Transformer
    assert isinstance(model[3], torch.fx.GraphModule)
    for reason in ("0 (torch.fx cannot", "1 (it does otherwise", "2 (it has hooks)"):
        assert reason in caplog.text


def test_the_descriptor_is_used_and_checked():
    model = quantize_residuals(BasicBlock(4, 4), QuantDescriptor(num_bits=4))

    assert model.residual_quantizer.num_bits == 4
    with pytest.raises(TypeError, match="`desc`"):
        quantize_residuals(BasicBlock(4, 4), "int8")


def test_a_shared_block_is_rewritten_once():
    block = BasicBlock(4, 4)
    model = quantize_residuals(nn.ModuleDict({"a": block, "b": block}))

    assert model["a"] is model["b"]


@torch.no_grad()
def test_it_can_be_copied_pickled_and_compiled():
    model, x = nn.Sequential(Transformer()), torch.randn(2, 4)
    expected = calibrate(quantize_residuals(model), [x])(x)

    assert torch.equal(copy.deepcopy(model)(x), expected)
    assert torch.equal(pickle.loads(pickle.dumps(model))(x), expected)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(x), expected)
