import logging
from inspect import isgenerator

import pytest
import torch
from torch import nn

from qcore.adapters.torch.optim import helper


def model():
    torch.manual_seed(0)
    layers = {"conv1": nn.Conv2d(1, 2, 3), "conv2": nn.Conv2d(2, 2, 3)}
    return nn.Sequential().append(nn.ModuleDict(layers)).append(nn.Linear(2, 2))


NAMES = [f"0.{c}.{p}" for c in ("conv1", "conv2") for p in ("weight", "bias")]
NAMES += ["1.weight", "1.bias"]


def names(net, parameters):
    known = {id(parameter): name for name, parameter in net.named_parameters()}
    return [known[id(parameter)] for parameter in parameters]


# S3.74
@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["conv1"], NAMES[:2]),
        (["conv[12].*bias"], [NAMES[1], NAMES[3]]),
        ([r"^1\.", "conv2"], NAMES[2:]),
        (["conv", "weight"], [*NAMES[:4], "1.weight"]),  # each once
        ([], []),
    ],
)
def test_s3_74_patterns_are_regular_expressions_found_anywhere(patterns, expected):
    net = model()
    found = helper.match_parameters(net, patterns)
    assert isgenerator(found)
    assert names(net, found) == expected


def test_s3_72_matching_parameters_are_frozen_and_logged(caplog):
    net = model()
    with caplog.at_level(logging.INFO):
        helper.freeze_parameters(net, ["conv1", r"1\.bias"])
    frozen = [name for name, p in net.named_parameters() if not p.requires_grad]
    assert frozen == [*NAMES[:2], "1.bias"]
    assert [record.args[0] for record in caplog.records] == frozen


def test_s3_73_groups_have_the_options_given():
    net = model()
    groups = helper.group_parameters(
        net,
        [["conv1", "conv2"], [r"^1\.weight"]],
        [0.1, 0.2],
        weight_decays=[0.0, 1e-4],
    )
    assert [names(net, group.pop("params")) for group in groups] == [
        NAMES[:4],
        ["1.weight"],
    ]
    assert groups == [
        {"lr": 0.1, "weight_decay": 0.0},
        {"lr": 0.2, "weight_decay": 1e-4},
    ]


def test_s3_73_an_optimizer_takes_the_groups():
    groups = helper.group_parameters(
        model(), [["conv"], [r"^1\."]], lrs=[0.1, 0.2], momentums=[0.9, 0]
    )
    optimizer = torch.optim.SGD(groups, lr=1.0)
    assert [(g["lr"], g["momentum"]) for g in optimizer.param_groups] == [
        (0.1, 0.9),
        (0.2, 0),
    ]


@pytest.mark.parametrize("patterns", [["conv1"], "conv1", [["conv1"], "conv2"]])
def test_s3_73_patterns_that_are_no_lists_are_a_type_error(patterns):
    with pytest.raises(TypeError, match="`patterns_list` must be a list of lists"):
        helper.group_parameters(model(), patterns)


@pytest.mark.parametrize("option", ["lrs", "momentums", "weight_decays"])
def test_s3_73_options_of_another_length_are_a_type_error(option):
    with pytest.raises(TypeError, match=f"`{option}` must have one value for each of"):
        helper.group_parameters(model(), [["conv1"], ["conv2"]], **{option: [0.1]})


@pytest.mark.parametrize(
    "function", [helper.match_parameters, helper.freeze_parameters]
)
def test_a_single_string_of_patterns_is_a_type_error(function):
    with pytest.raises(TypeError, match="`patterns` must be a list of strings"):
        function(model(), "conv1")


class Halves(nn.Module):
    """A quantizer that rounds to halves, or gives the integers that count them."""

    def __init__(self, fake_quant=True):
        super().__init__()
        self.fake_quant = fake_quant

    def forward(self, x):
        return torch.round(x * 2) / (2 if self.fake_quant else 1)


def quantized(**options):
    net = nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.Linear(4, 2)), nn.ReLU())
    net[1][0].weight_quantizer = Halves(**options)
    return net


def test_s3_75_weights_with_a_quantizer_are_replaced_in_place():
    net = quantized()
    net[0].weight_quantizer = None
    weight, other = net[1][0].weight, net[0].weight.detach().clone()
    expected = torch.round(weight.detach() * 2) / 2
    helper.quant_weight_inplace(net)
    assert net[1][0].weight is weight
    assert weight.is_leaf
    assert torch.equal(weight, expected)
    assert torch.equal(net[0].weight, other)


def test_s3_75_the_model_itself_may_be_the_layer():
    layer = nn.Linear(3, 3)
    layer.weight_quantizer = Halves()
    helper.quant_weight_inplace(layer)
    assert torch.equal(layer.weight, torch.round(layer.weight * 2) / 2)


@pytest.mark.parametrize("fake", [True, False])
def test_s3_75_integers_in_place_are_warned_of_in_the_log(caplog, fake):
    helper.quant_weight_inplace(quantized(fake_quant=fake))
    warned = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert warned == ([] if fake else ["The weight of 1.0 is replaced by integers."])


def test_modules_without_a_weight_are_passed_over():
    net = nn.Sequential(nn.ReLU(), nn.LSTM(2, 2))
    net[0].weight_quantizer = net[1].weight_quantizer = Halves()
    helper.quant_weight_inplace(net)
