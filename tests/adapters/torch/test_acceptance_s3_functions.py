"""SEMANTICS S3, item by item: functions, descriptors, optimizer helpers, utilities."""

import logging
import re
from collections.abc import Iterator
from types import GeneratorType, ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from qcore.adapters.torch import nn as quant_nn
from qcore.adapters.torch import tensor_quant, utils
from qcore.adapters.torch.calib import HistogramCalibrator, MaxCalibrator
from qcore.adapters.torch.optim import helper
from qcore.adapters.torch.tensor_quant import QuantDescriptor
from qcore.adapters.torch.utils.reduce_amax import reduce_amax
from tests.adapters.torch.acceptance import (
    int8,
    normal,
    per_channel,
    quantizer,
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


def test_s3_76_the_descriptor_has_two_names() -> None:
    assert tensor_quant.QuantDescriptor is tensor_quant.ScaledQuantDescriptor
    found = QuantDescriptor(4, "activations")
    assert (found.num_bits, found.name) == (4, "activations")


def test_s3_77_fake_quantization_is_the_default() -> None:
    assert QuantDescriptor().fake_quant is True
    scale = torch.tensor(1.0) / 127
    codes = quantizer(amax=1.0, fake_quant=False)(normal(50))
    assert torch.equal(codes * scale, quantizer(amax=1.0)(normal(50)))


@pytest.mark.parametrize(
    ("axis", "shape"),
    [
        (None, ()),
        (1, (1, 3, 1)),
        (-1, (1, 1, 4)),
        (-3, (2, 1, 1)),
        ((0, -1), (2, 1, 4)),
    ],
)
def test_s3_78_axes_are_kept_and_may_be_negative(axis: Any, shape: Any) -> None:
    found = quantizer(axis=axis)
    found.enable_calib()
    found(normal(2, 3, 4))
    found.load_calib_amax()
    assert found.amax.shape == shape


@pytest.mark.parametrize("axis", [3, -4, (0, 3)])
def test_s3_78_an_axis_beyond_the_rank_is_refused(axis: Any) -> None:
    with pytest.raises(ValueError, match="axis"):
        quantizer(axis=axis)(normal(2, 3, 4))


@pytest.mark.parametrize(
    "amax", [0.5, [[0.5], [1.0]], np.array([[0.5], [1.0]], dtype=np.float32)]
)
def test_s3_79_amax_wins_over_axis(amax: Any) -> None:
    x = normal(2, 9)
    assert torch.equal(quantizer(axis=1, amax=amax)(x), int8(x, torch.tensor(amax)))


def test_s3_79_amax_seeds_the_learned_range_and_scale_amax_multiplies() -> None:
    found = quantizer(amax=3.0, learn_amax=True)
    assert found.clip.clip_value_max == 3
    assert torch.equal(
        quantizer(amax=2.0, scale_amax=0.25)(normal(50)), int8(normal(50), 0.5)
    )


@pytest.mark.parametrize(
    ("method", "cls"), [("max", MaxCalibrator), ("histogram", HistogramCalibrator)]
)
def test_s3_79_the_calibrator_is_the_one_named(method: str, cls: type) -> None:
    assert type(quantizer(calib_method=method)._calibrator) is cls


def test_s3_79_the_other_defaults_are_the_documented_ones() -> None:
    found = QuantDescriptor()
    assert found.calib_method == "max"
    assert (found.learn_amax, found.unsigned, found.narrow_range) == (False,) * 3
    assert (found.axis, found.amax, found.scale_amax, found.name) == (None,) * 4


def test_s3_80_a_negative_width_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="num_bits"):
        QuantDescriptor(num_bits=-1)


@pytest.mark.parametrize(
    "given",
    [
        {"num_bits": (5, 2)},
        {"num_bits": "8"},
        {"name": 8},
        {"amax": "1"},
        {"amax": {1.0}},
        {"unknown": 1},
    ],
)
def test_s3_80_wrong_kinds_are_type_errors(given: Any) -> None:
    with pytest.raises(TypeError, match=next(iter(given))):
        QuantDescriptor(**given)


def test_s3_80_zero_bits_are_logged_and_give_zeros(
    caplog: pytest.LogCaptureFixture,
) -> None:
    found = quantizer(num_bits=0)
    assert caplog.records[0].levelno == logging.ERROR
    assert torch.equal(found(normal(5)), torch.zeros(5))


def test_s3_80_an_integer_amax_and_a_learned_range_with_an_axis_are_accepted() -> None:
    assert QuantDescriptor(amax=2) == QuantDescriptor(amax=2.0)
    assert QuantDescriptor(learn_amax=True, axis=0).learn_amax


def test_s3_81_a_pair_of_widths_is_e4m3() -> None:
    x, scale = normal(1000), torch.tensor(2.0) / 448
    cast = (x / scale).clamp(-448, 448).to(torch.float8_e4m3fn)
    assert torch.equal(quantizer(num_bits=(4, 3), amax=2.0)(x), cast.float() * scale)


@pytest.mark.parametrize(
    "name",
    [
        "fake_quant",
        "name",
        "learn_amax",
        "scale_amax",
        "axis",
        "calib_method",
        "num_bits",
        "amax",
        "unsigned",
    ],
)
def test_s3_82_properties_of_a_descriptor_are_read_only(name: str) -> None:
    desc = QuantDescriptor()
    with pytest.raises(AttributeError):
        setattr(desc, name, getattr(desc, name))


EVERYTHING = {
    "num_bits": 4,
    "name": "w",
    "fake_quant": False,
    "axis": (0, -1),
    "amax": [[1.0, 2.0]],
    "scale_amax": 0.5,
    "calib_method": "histogram",
    "unsigned": True,
    "narrow_range": True,
}


def test_s3_83_dict_has_what_is_no_default_and_makes_an_equal_one() -> None:
    assert QuantDescriptor().dict() == {}
    assert QuantDescriptor(**EVERYTHING).dict() == EVERYTHING
    assert QuantDescriptor(**QuantDescriptor(**EVERYTHING).dict()) == (
        QuantDescriptor(**EVERYTHING)
    )


@pytest.mark.parametrize(
    "given", [EVERYTHING, {"axis": 0, "amax": 1.5}, {"learn_amax": True}, {}]
)
def test_s3_84_yaml_brings_every_keyword_back(given: Any) -> None:
    desc = QuantDescriptor(**given)
    assert QuantDescriptor.from_yaml(desc.to_yaml()) == desc


def test_s3_84_yaml_is_readable() -> None:
    written = QuantDescriptor(axis=0, amax=[1.5, 2.0]).to_yaml()
    assert re.sub(r"\s+", " ", written).strip() == "axis: 0 amax: - 1.5 - 2.0"


def test_s3_85_the_shape_of_amax_is_the_granularity() -> None:
    x = normal(4, 3, 5)
    amax = x.abs().amax((1, 2), keepdim=True)
    codes, scale = tensor_quant.TensorQuantFunction.apply(x, amax)
    assert codes.dtype == torch.float32
    assert scale.shape == (4, 1, 1)
    assert torch.equal(
        codes, (x * (torch.tensor(127.0) / amax)).round().clamp(-127, 127)
    )


@pytest.mark.parametrize(
    ("given", "low", "top"),
    [
        ({}, -127, 127),
        ({"num_bits": 4}, -7, 7),
        ({"narrow_range": False}, -128, 127),
        ({"unsigned": True}, 0, 255),
    ],
)
def test_s3_86_arguments_choose_the_levels(given: Any, low: int, top: int) -> None:
    x, amax = (normal(500).abs() if low == 0 else normal(500)), torch.tensor(0.75)
    outputs, scale = tensor_quant.tensor_quant(x, amax, **given)
    assert scale == torch.tensor(float(top)) / amax
    assert torch.equal(outputs, (x * scale).round().clamp(low, top))
    assert torch.equal(
        tensor_quant.fake_tensor_quant(x, amax, **given), outputs / scale
    )


def test_s3_87_a_negative_amax_and_an_infinite_scale_are_value_errors() -> None:
    with pytest.raises(ValueError, match="amax"):
        tensor_quant.tensor_quant(normal(3), torch.tensor(-1.0))
    with pytest.raises(ValueError, match="float16"):
        tensor_quant.tensor_quant(normal(3).half(), torch.tensor(1e-3).half())


def test_s3_87_a_negative_input_is_a_type_error_if_unsigned() -> None:
    for function in (tensor_quant.tensor_quant, tensor_quant.fake_tensor_quant):
        with pytest.raises(TypeError, match="unsigned"):
            function(torch.tensor([-1.0]), torch.tensor(1.0), unsigned=True)


@pytest.mark.parametrize(
    "function",
    [
        lambda x, amax: tensor_quant.tensor_quant(x, amax)[0],
        tensor_quant.fake_tensor_quant,
        tensor_quant.scaled_e4m3,
    ],
)
def test_s3_88_the_gradient_passes_within_amax(function: Any) -> None:
    x = torch.tensor([-1.01, -1.0, 0.3, 1.0, 1.01], requires_grad=True)
    function(x, torch.tensor(1.0)).sum().backward()
    assert x.grad.tolist() == [0, 1, 1, 1, 0]


@pytest.mark.parametrize(
    ("name", "cls"),
    [
        ("tensor_quant", "TensorQuantFunction"),
        ("fake_tensor_quant", "FakeTensorQuantFunction"),
        ("legacy_fake_tensor_quant", "LegacyFakeTensorQuantFunction"),
        ("scaled_e4m3", "ScaledE4M3Function"),
    ],
)
def test_s3_89_an_alias_applies_its_function(name: str, cls: str) -> None:
    alias, function = getattr(tensor_quant, name), getattr(tensor_quant, cls)
    x, amax = normal(50), torch.tensor(0.5)
    for found in (alias.apply(x, amax), function.apply(x, amax)):
        assert all(map(torch.equal, found, alias(x, amax)))


def test_s3_89_the_affine_alias_rounds_between_two_ends() -> None:
    x, step = normal(50), 3.0 / 15
    found = tensor_quant.fake_affine_tensor_quant(
        x, torch.tensor(-1.0), torch.tensor(2.0), num_bits=4
    )
    expected = ((x / step).round().clamp(-5, 10)) * step
    torch.testing.assert_close(found, expected)


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger, whose handlers are put back."""
    logger = logging.getLogger()
    before = list(logger.handlers)
    yield logger
    logger.handlers[:] = before


def test_s3_90_the_handlers_of_the_root_logger_are_removed(
    root: logging.Logger,
) -> None:
    root.addHandler(logging.NullHandler())
    utils.quant_logging.reset_logger_handler()
    assert root.handlers == []


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("axis", [None, 0, -1, (0, 2), (0, 1, 2)])
def test_s3_91_magnitudes_are_reduced_as_numpy_does(axis: Any, keepdims: bool) -> None:
    x = normal(2, 3, 4).requires_grad_()
    found = reduce_amax(input=x, axis=axis, keepdims=keepdims)
    expected = np.abs(x.detach().numpy()).max(axis, keepdims=keepdims)
    np.testing.assert_array_equal(found.numpy(), expected, strict=True)
    assert not found.requires_grad


@pytest.mark.parametrize(
    "given", [{"axis": 2}, {"axis": (0, 1, 0)}, {"granularity": "channel"}]
)
def test_s3_91_senseless_axes_are_value_errors(given: Any) -> None:
    with pytest.raises(ValueError, match="ax"):
        reduce_amax(normal(2, 3), **given)


def test_s3_91_the_name_is_a_module_that_is_called_as_before() -> None:
    assert isinstance(utils.reduce_amax, ModuleType)
    assert utils.reduce_amax(normal(9), keepdims=False) == normal(9).abs().max()


def test_s3_87_a_negative_amax_of_a_quantizer_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="amax"):
        quant_nn.TensorQuantizer(QuantDescriptor(amax=-1.0))
    with pytest.raises(ValueError, match="amax"):
        quant_nn.TensorQuantizer(QuantDescriptor(amax=1.0)).amax = torch.tensor(-1.0)
