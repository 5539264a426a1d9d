"""S3.1 to 4 and 72 to 75: functions and helpers of training."""

from types import GeneratorType
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from qcore.adapters.torch import nn as quant_nn
from qcore.adapters.torch import tensor_quant
from qcore.adapters.torch.optim import helper
from qcore.adapters.torch.tensor_quant import QuantDescriptor
from tests.adapters.torch.acceptance import (
    normal,
    per_channel,
    uniform,
)


def test_s3_01_both_functions_take_the_documented_arguments() -> None:
    x = normal(50).abs()
    integers, scale = tensor_quant.tensor_quant(
        x, x.max(), num_bits=4, output_dtype=torch.float, unsigned=True
    )
    assert torch.equal(
        integers, (x * (torch.tensor(15.0) / x.max())).round().clamp(0, 15)
    )
    fake = tensor_quant.fake_tensor_quant(x, x.max(), 4, torch.float, True)
    assert torch.equal(fake, integers / scale)


def test_s3_01_the_arguments_of_the_source_are_accepted() -> None:
    x, amax = normal(1000), torch.tensor(0.5)
    narrow, _ = tensor_quant.tensor_quant(x, amax, 8, False, True)
    full, _ = tensor_quant.tensor_quant(x, amax, 8, False, narrow_range=False)
    assert (narrow.min(), narrow.max()) == (-127, 127)
    assert (full.min(), full.max()) == (-128, 127)


def test_s3_01_codes_are_stored_as_integers_if_asked() -> None:
    x = normal(50)
    found, _ = tensor_quant.tensor_quant(x, x.abs().max(), output_dtype=torch.int32)
    assert found.dtype == torch.int32
    with pytest.raises(ValueError, match="output_dtype"):
        tensor_quant.tensor_quant(x, x.abs().max(), output_dtype=torch.int64)


def test_s3_02_the_worked_example_gives_the_printed_numbers() -> None:
    x = uniform(10)
    quantized, scale = tensor_quant.tensor_quant(x, x.abs().max(), num_bits=8)
    assert quantized.tolist() == [126, 113, 127, 59, 11, 23, 47, 73, 43, 27]
    assert float(scale) == pytest.approx(128.0057, abs=1e-4)
    fake = tensor_quant.fake_tensor_quant(x, x.abs().max(), num_bits=8)
    printed = [0.9843, 0.8828, 0.9921, 0.4609, 0.0859]
    printed += [0.1797, 0.3672, 0.5703, 0.3359, 0.2109]
    np.testing.assert_allclose(fake, printed, rtol=0, atol=1e-4)


def test_s3_03_gradients_pass_straight_through() -> None:
    for function in (tensor_quant.tensor_quant, tensor_quant.fake_tensor_quant):
        x = normal(50).requires_grad_()
        found = function(x, x.detach().abs().max())
        weight = normal(50, seed=2)
        outputs = found[0] if isinstance(found, tuple) else found
        (gradient,) = torch.autograd.grad((outputs * weight).sum(), x)
        assert torch.equal(gradient, weight)


@pytest.mark.parametrize(
    ("name", "axis"),
    [
        ("8BIT_PER_TENSOR", None),
        ("UNSIGNED_8BIT_PER_TENSOR", None),
        ("8BIT_LINEAR_WEIGHT_PER_ROW", 0),
        *((f"8BIT_CONV{n}D_WEIGHT_PER_CHANNEL", 0) for n in (1, 2, 3)),
        *((f"8BIT_CONVTRANSPOSE{n}D_WEIGHT_PER_CHANNEL", 1) for n in (1, 2, 3)),
    ],
)
def test_s3_04_predefined_descriptors(name: str, axis: int | None) -> None:
    desc = getattr(tensor_quant, f"QUANT_DESC_{name}")
    assert desc == QuantDescriptor(8, axis=axis, unsigned="UNSIGNED" in name)


def layers() -> nn.Module:
    return nn.ModuleDict({"conv": nn.Conv2d(3, 4, 1), "fc": quant_nn.QuantLinear(4, 2)})


def test_s3_72_parameters_whose_name_matches_are_frozen() -> None:
    model = layers()
    helper.freeze_parameters(model, [r"conv\..*", "fc.bias$"])
    learned = [name for name, p in model.named_parameters() if p.requires_grad]
    assert learned == ["fc.weight"]


def test_s3_73_groups_are_those_an_optimizer_takes() -> None:
    model = layers()
    groups = helper.group_parameters(
        model,
        [["conv"], ["fc"]],
        lrs=[0.1, 0.2],
        momentums=[0.3, 0],
        weight_decays=[0, 1],
    )
    assert [[id(p) for p in group["params"]] for group in groups] == [
        [id(p) for p in model[name].parameters()] for name in ("conv", "fc")
    ]
    assert {k: v for k, v in groups[0].items() if k != "params"} == {
        "lr": 0.1,
        "momentum": 0.3,
        "weight_decay": 0,
    }
    optimizer = torch.optim.SGD(groups, lr=1.0)
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.2]


@pytest.mark.parametrize(
    ("patterns", "options"),
    [
        ("fc", {}),
        (["fc"], {}),
        ([["fc"]], {"lrs": [1, 2]}),
        ([["fc"]], {"momentums": []}),
    ],
)
def test_s3_73_wrong_lists_are_type_errors(patterns: Any, options: Any) -> None:
    with pytest.raises(TypeError):
        helper.group_parameters(layers(), patterns, **options)


def test_s3_74_matching_parameters_are_generated() -> None:
    model = layers()
    found = helper.match_parameters(model, ["weight"])
    assert isinstance(found, GeneratorType)
    expected = model["conv"].weight, model["fc"].weight
    assert [id(p) for p in found] == [id(p) for p in expected]


def test_s3_75_weights_are_replaced_by_their_quantized_selves() -> None:
    model = layers()
    conv, fc = (model[name].weight.detach().clone() for name in ("conv", "fc"))
    helper.quant_weight_inplace(model)
    assert torch.equal(model["conv"].weight, conv)
    assert torch.equal(model["fc"].weight, per_channel(fc))
