"""S3.7, 8, 30 to 36: quantized modules."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - its usual name

from qcore.adapters.torch import nn as quant_nn
from qcore.adapters.torch import quant_modules, tensor_quant
from qcore.adapters.torch.nn import TensorQuantizer
from qcore.adapters.torch.nn.modules import _utils, quant_conv
from qcore.adapters.torch.tensor_quant import QuantDescriptor
from tests.adapters.torch.acceptance import (
    defaults,
    images,
    int8,
    normal,
    per_channel,
    per_tensor,
)


def test_s3_07_layers_take_a_descriptor_for_each_operand() -> None:
    four = QuantDescriptor(num_bits=4)
    for layer in (
        quant_nn.Linear(4, 3, quant_desc_input=four),
        quant_nn.Conv2d(4, 3, 1, quant_desc_input=four),
    ):
        assert layer.input_quantizer.num_bits == 4
        assert layer.weight_quantizer.num_bits == 8
        assert layer.weight_quantizer.axis == 0


@pytest.mark.parametrize(
    "name",
    [
        "Linear",
        *(f"{kind}{n}d" for n in (1, 2, 3) for kind in ("Conv", "ConvTranspose")),
        *(
            f"{kind}{n}d"
            for n in (1, 2, 3)
            for kind in ("MaxPool", "AvgPool", "AdaptiveAvgPool")
        ),
    ],
)
def test_s3_07_an_alias_is_the_class(name: str) -> None:
    assert getattr(quant_nn, name) is getattr(quant_nn, f"Quant{name}")


def test_s3_08_the_signature_is_that_of_the_source() -> None:
    expected = {"float_module_list": None, "custom_quant_modules": None}
    assert defaults(quant_modules.initialize) == expected


def test_s3_08_model_code_builds_quantized_layers_until_deactivated() -> None:
    plain = nn.Conv2d
    quant_modules.initialize()
    try:
        model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Linear(4, 2), nn.MaxPool2d(2))
    finally:
        quant_modules.deactivate()
    assert isinstance(model[0], quant_nn.QuantConv2d)
    assert isinstance(model[1], quant_nn.QuantLinear)
    assert not isinstance(model[2], quant_nn.QuantMaxPool2d)
    assert nn.Conv2d is plain


def test_s3_08_the_default_map_is_the_documented_one() -> None:
    names = {n for n in dir(nn) if isinstance(getattr(nn, n), type)}
    before = {name: getattr(nn, name) for name in names}
    with quant_modules.initialize():
        replaced = {name for name in names if getattr(nn, name) is not before[name]}
    dims = [f"{n}d" for n in (1, 2, 3)]
    kinds = "Conv", "ConvTranspose", "AvgPool", "AdaptiveAvgPool"
    expected = {kind + dim for kind in kinds for dim in dims}
    assert replaced == expected | {"Linear", "LSTM", "LSTMCell"}


def test_s3_08_some_names_stay_and_others_are_added() -> None:
    custom = [(nn, "MaxPool2d", quant_nn.QuantMaxPool2d)]
    plain = nn.Linear
    with quant_modules.initialize(["Linear"], custom_quant_modules=custom):
        assert nn.Linear is plain
        assert nn.MaxPool2d is quant_nn.QuantMaxPool2d
        assert nn.Conv1d is quant_nn.QuantConv1d


@pytest.mark.parametrize(
    "name",
    [
        "Linear",
        "LSTM",
        "LSTMCell",
        *(
            f"{kind}{n}d"
            for n in (1, 2, 3)
            for kind in (
                "Conv",
                "ConvTranspose",
                "AvgPool",
                "MaxPool",
                "AdaptiveAvgPool",
                "InstanceNorm",
            )
        ),
    ],
)
def test_s3_30_every_listed_module_is_the_float_one_with_quantizers(name: str) -> None:
    quantized = getattr(quant_nn, f"Quant{name}")
    assert issubclass(quantized, getattr(nn, name))
    assert issubclass(quantized, _utils.QuantInputMixin | _utils.QuantMixin)


class InputOnly(nn.MaxPool2d, _utils.QuantInputMixin):
    """The tutorial's first case, the mixin last as there."""

    def __init__(self, kernel_size: int, **kwargs: Any) -> None:
        super().__init__(kernel_size)
        self.init_quantizer(
            _utils.pop_quant_desc_in_kwargs(self.__class__, input_only=True, **kwargs)
        )

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return super().forward(self._input_quantizer(input))


class InputAndWeight(nn.Linear, _utils.QuantMixin):
    """The tutorial's second case."""

    default_quant_desc_weight = tensor_quant.QUANT_DESC_8BIT_LINEAR_WEIGHT_PER_ROW

    def __init__(self, *args: Any, bias: bool = True, **kwargs: Any) -> None:
        super().__init__(*args, bias)
        self.init_quantizer(*_utils.pop_quant_desc_in_kwargs(self.__class__, **kwargs))

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        weight = self._weight_quantizer(self.weight)
        return F.linear(self._input_quantizer(input), weight, self.bias)


def test_s3_31_a_wrapper_quantizes_its_input() -> None:
    x = normal(2, 3, 4, 4)
    expected = F.max_pool2d(per_tensor(x), 2)
    assert torch.equal(InputOnly(2)(x), expected)


def test_s3_31_a_wrapper_quantizes_input_and_weights() -> None:
    layer, x = InputAndWeight(6, 4), normal(3, 6)
    expected = F.linear(per_tensor(x), per_channel(layer.weight), layer.bias)
    assert torch.equal(layer(x), expected)


def test_s3_31_a_bare_quantizer_is_a_module_of_the_graph() -> None:
    model = nn.Sequential(TensorQuantizer(QuantDescriptor(amax=1.0)), nn.Sigmoid())
    assert torch.equal(model(normal(9)), torch.sigmoid(int8(normal(9), 1.0)))


def test_s3_32_descriptors_are_taken_from_keywords_or_the_class() -> None:
    four = QuantDescriptor(num_bits=4)
    pop, cls = _utils.pop_quant_desc_in_kwargs, quant_nn.QuantLinear
    defaults = cls.default_quant_desc_input, cls.default_quant_desc_weight
    assert pop(cls) == defaults
    assert pop(cls, quant_desc_weight=four) == (defaults[0], four)
    assert pop(cls, quant_desc_input=None, quant_desc_weight=None) == defaults
    assert pop(cls, input_only=True, quant_desc_input=four) is four


@pytest.mark.parametrize("error", [TypeError, KeyError])
def test_s3_32_leftovers_are_an_error(error: type[Exception]) -> None:
    with pytest.raises(error, match="quant_desc"):
        _utils.pop_quant_desc_in_kwargs(quant_nn.QuantLinear, quant_desc=1)
    with pytest.raises(error, match="quant_desc_weight"):
        _utils.pop_quant_desc_in_kwargs(
            quant_nn.QuantMaxPool2d, True, quant_desc_weight=QuantDescriptor()
        )


def test_s3_33_quantizers_are_created_under_their_names() -> None:
    layer = InputAndWeight(3, 2, quant_desc_input=QuantDescriptor(num_bits=6))
    assert layer._input_quantizer.num_bits == 6
    assert layer._weight_quantizer.axis == 0
    assert [name for name, _ in layer.named_children()] == [
        "_input_quantizer",
        "_weight_quantizer",
    ]


def test_s3_33_they_are_created_in_a_constructor_alone() -> None:
    with pytest.raises(TypeError, match="__init__"):
        InputOnly(2).init_quantizer(QuantDescriptor())


def test_s3_33_they_are_of_fake_quantization_alone() -> None:
    for cls, size in ((InputOnly, (2,)), (InputAndWeight, (3, 2))):
        with pytest.raises(ValueError, match="fake quant"):
            cls(*size, quant_desc_input=QuantDescriptor(fake_quant=False))


def test_s3_34_a_getter_lets_a_quantizer_be_disabled() -> None:
    layer, x = quant_nn.QuantLinear(6, 4), normal(3, 6)
    layer.input_quantizer.disable()
    assert torch.equal(layer(x), F.linear(x, per_channel(layer.weight), layer.bias))
    layer.weight_quantizer.disable()
    assert torch.equal(layer(x), F.linear(x, layer.weight, layer.bias))


def test_s3_35_forward_is_the_operator_of_quantized_operands() -> None:
    layer = quant_nn.QuantConv2d(3, 4, 3, stride=2)
    x = per_tensor(images())
    expected = F.conv2d(x, per_channel(layer.weight), layer.bias, stride=2)
    assert torch.equal(layer(images()), expected)


def test_s3_36_functional_use_takes_double_input() -> None:
    quantizer = TensorQuantizer(quant_nn.QuantLinear.default_quant_desc_input)
    x = np.random.default_rng(0).normal(size=(2, 3, 8, 8))
    found = F.adaptive_avg_pool2d(quantizer(torch.from_numpy(x)), (4, 4))
    scale = np.float64(np.float32(np.abs(x).max()) / np.float32(127))
    quantized = np.clip(np.round(x / scale), -128, 127) * scale
    expected = quantized.reshape(2, 3, 4, 2, 4, 2).mean((3, 5))
    np.testing.assert_allclose(found, expected, rtol=1e-6, strict=True)


def test_s3_57_a_convolution_of_ones_own_derives_from_the_abstract_one() -> None:
    class Own(quant_conv._QuantConvNd):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            weight = self._weight_quantizer(self.weight)
            return F.conv1d(self._input_quantizer(input), weight, self.bias)

    layer = Own(
        3,
        4,
        (2,),
        (1,),
        (0,),
        (1,),
        False,
        (0,),
        1,
        True,
        "zeros",
        quant_desc_input=QuantDescriptor(),
        quant_desc_weight=QuantDescriptor(axis=0),
    )
    x = normal(2, 3, 5)
    assert torch.equal(
        layer(x), F.conv1d(per_tensor(x), per_channel(layer.weight), layer.bias)
    )


@pytest.mark.parametrize(
    "given", [{"groups": 2}, {"padding_mode": "none"}, {"groups": 0}]
)
def test_s3_57_unsupported_arguments_are_value_errors(given: Any) -> None:
    with pytest.raises(ValueError, match=r"groups|padding_mode"):
        quant_nn.QuantConv2d(3, 4, 1, **given)


@pytest.mark.parametrize("name", ["input_quantizer", "weight_quantizer"])
def test_s3_57_quantizers_are_read_only(name: str) -> None:
    with pytest.raises(AttributeError):
        setattr(quant_nn.QuantConv2d(3, 4, 1), name, TensorQuantizer())


@pytest.mark.parametrize("operand", ["input", "weight"])
def test_s3_57_a_default_is_a_copy_of_a_descriptor(
    operand: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cls, name = quant_nn.QuantConv3d, f"default_quant_desc_{operand}"
    monkeypatch.setattr(cls, name, getattr(cls, name))
    desc = QuantDescriptor(num_bits=5)
    setter = getattr(cls, f"set_default_quant_desc_{operand}")
    setter(desc)
    assert getattr(cls, name) == desc
    assert getattr(cls, name) is not desc
    assert getattr(cls(1, 1, 1), f"{operand}_quantizer").num_bits == 5
    with pytest.raises(ValueError, match="QuantDescriptor"):
        setter({"num_bits": 8})
