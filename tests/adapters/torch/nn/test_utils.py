import pytest
import torch
from torch import nn

from qcore.adapters.torch import nn as quant_nn
from qcore.adapters.torch.nn.modules import _utils
from qcore.adapters.torch.nn.modules.registry import (
    quantized_class,
    quantized_classes,
)
from qcore.adapters.torch.quantizer.descriptor import QuantDescriptor

FOUR = QuantDescriptor(num_bits=4)


class WithInput(nn.Module, _utils.QuantInputMixin):
    """As the tutorial has it: torch's class first."""

    def __init__(self, **kwargs):
        super().__init__()
        self.init_quantizer(
            _utils.pop_quant_desc_in_kwargs(type(self), input_only=True, **kwargs)
        )


class WithWeight(nn.Linear, _utils.QuantMixin):
    def __init__(self, *args, **kwargs):
        super().__init__(*args)
        self.init_quantizer(*_utils.pop_quant_desc_in_kwargs(type(self), **kwargs))


class Late(nn.Module, _utils.QuantInputMixin):
    def make(self):
        self.init_quantizer(QuantDescriptor())


def data(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_s3_31_a_module_of_ones_own_quantizes_its_input():
    made = WithInput(quant_desc_input=FOUR)
    assert made.input_quantizer is made._input_quantizer
    assert made.input_quantizer.num_bits == 4


def test_s3_31_and_its_weights():
    made = WithWeight(2, 3, quant_desc_weight=FOUR)
    assert made.input_quantizer.num_bits == 8
    assert made.weight_quantizer is made._weight_quantizer
    assert made.weight_quantizer.num_bits == 4


@pytest.mark.parametrize("given", [{}, {"quant_desc_input": None}])
def test_s3_32_the_default_of_the_class_stands_in_for_what_is_missing(given):
    found = _utils.pop_quant_desc_in_kwargs(WithInput, True, **given)
    assert found is WithInput.default_quant_desc_input


def test_s3_32_both_descriptors_are_returned():
    found = _utils.pop_quant_desc_in_kwargs(WithWeight, quant_desc_weight=FOUR)
    assert found == (WithWeight.default_quant_desc_input, FOUR)


@pytest.mark.parametrize("kind", [TypeError, KeyError])
def test_s3_32_leftovers_are_either_error_and_all_are_named(kind):
    with pytest.raises(kind, match="got bits, quant_desc_output") as caught:
        _utils.pop_quant_desc_in_kwargs(WithWeight, quant_desc_output=FOUR, bits=4)
    assert str(caught.value).startswith("keywords of WithWeight")


def test_s3_32_a_weight_is_a_leftover_where_there_are_none():
    with pytest.raises(TypeError, match="must be quant_desc_input; got"):
        _utils.pop_quant_desc_in_kwargs(WithInput, True, quant_desc_weight=FOUR)


def test_s3_33_quantizers_are_made_in_a_constructor_alone():
    with pytest.raises(TypeError, match="of Late must be called by its __init__"):
        Late().make()


def test_s3_33_not_in_a_plain_function_either():
    with pytest.raises(TypeError, match="must be called by its __init__"):
        WithWeight(2, 3).init_quantizer(FOUR, FOUR)


def test_s3_33_lists_are_made_where_layers_are_counted():
    class Layers(nn.Module, _utils.QuantMixin):
        def __init__(self):
            super().__init__()
            self.init_quantizer(QuantDescriptor(), FOUR, num_layers=3)

    made = Layers()
    assert [q.num_bits for q in made._input_quantizers] == [8] * 3
    assert [q.num_bits for q in made._weight_quantizers] == [4] * 3


def test_s3_34_a_getter_lets_a_quantizer_be_disabled():
    made = WithInput()
    made.input_quantizer.disable()
    x = data(5)
    assert made.input_quantizer(x) is x


EXAMPLES = [
    (nn.Linear(3, 2), (4, 3)),
    (nn.Conv1d(3, 2, 3), (4, 3, 8)),
    (nn.Conv2d(3, 2, 3, padding_mode="circular", padding=1), (4, 3, 8, 8)),
    (nn.ConvTranspose2d(3, 2, 3), (4, 3, 8, 8)),
    (nn.AvgPool2d(2), (4, 3, 8, 8)),
    (nn.MaxPool2d(2), (4, 3, 8, 8)),
    (nn.AdaptiveAvgPool1d(2), (4, 3, 8)),
    (nn.InstanceNorm1d(3, affine=True, track_running_stats=True), (4, 3, 8)),
    (nn.LSTM(3, 2), (5, 4, 3)),
    (nn.LSTMCell(3, 2), (4, 3)),
]


def first(found):
    return found[0] if isinstance(found, tuple) else found


@pytest.mark.parametrize(("plain", "shape"), EXAMPLES, ids=lambda v: str(v)[:12])
def test_a_float_module_is_quantized_in_place_of_itself(plain, shape):
    made = quantized_class(type(plain)).from_float(plain.eval())
    for quantizer in made.modules():
        if isinstance(quantizer, quant_nn.TensorQuantizer):
            quantizer.disable()
    x = data(*shape)
    assert torch.equal(first(made(x)), first(plain(x)))
    assert [id(p) for p in made.parameters()] == [id(p) for p in plain.parameters()]
    assert not any(m.training for m in made.modules())


@pytest.mark.parametrize(("plain", "shape"), EXAMPLES, ids=lambda v: str(v)[:12])
def test_the_float_module_is_left_as_it_was(plain, shape):
    before = {k: list(v) for k, v in vars(plain).items() if isinstance(v, dict | list)}
    made = quantized_class(type(plain)).from_float(plain)
    made.register_buffer("more", torch.zeros(1), persistent=False)
    made(data(*shape))
    now = {k: list(v) for k, v in vars(plain).items() if isinstance(v, dict | list)}
    assert now == before
    assert not plain._non_persistent_buffers_set


def test_quantizers_of_a_float_module_go_where_its_weights_are():
    made = quant_nn.QuantConv2d.from_float(nn.Conv2d(3, 2, 3, device="meta"))
    assert {b.device.type for b in made.buffers()} == {"meta"}


def test_hooks_of_a_float_module_are_kept():
    plain, seen = nn.Linear(3, 2), []
    plain.register_forward_hook(lambda *_: seen.append(1))
    quant_nn.QuantLinear.from_float(plain)(data(4, 3))
    assert seen == [1]


def test_a_float_module_is_quantized_as_descriptors_say():
    made = quant_nn.QuantLinear.from_float(nn.Linear(3, 2), QuantDescriptor(), FOUR)
    assert (made.input_quantizer.num_bits, made.weight_quantizer.num_bits) == (8, 4)


def test_subclasses_are_not_quantized_as_their_base_is():
    class Own(nn.Linear):
        pass

    assert quantized_class(Own) is None
    assert quantized_class(nn.ReLU) is None


def test_s3_30_every_quantized_class_is_found_by_the_float_one():
    pairs = quantized_classes()
    names = {n for n in quant_nn.__all__ if n.startswith("Quant")}
    assert {made.__name__ for made in pairs.values()} == names
    for plain, made in pairs.items():
        assert made.__name__ == f"Quant{plain.__name__}"
        assert issubclass(made, plain)
        assert quantized_class(plain) is made


NAMES = [
    "LSTM",
    "LSTMCell",
    "Linear",
    *(
        f"{family}{n}d"
        for family in (
            "AdaptiveAvgPool",
            "AvgPool",
            "Conv",
            "ConvTranspose",
            "InstanceNorm",
            "MaxPool",
        )
        for n in (1, 2, 3)
    ),
]


@pytest.mark.parametrize("space", [quant_nn, quant_nn.modules])
def test_s3_7_quant_nn_has_every_class_under_both_names(space):
    for name in NAMES:
        assert getattr(space, name) is getattr(space, f"Quant{name}")
    both = {*NAMES, *(f"Quant{name}" for name in NAMES)}
    assert set(space.__all__) - {"functional"} == both | {"Clip", "TensorQuantizer"}


def test_quant_nn_has_the_functions_too():
    assert quant_nn.functional.clip(torch.ones(1) * 3, -1, 2) == 2


def test_the_two_mixins_can_be_told_apart() -> None:
    assert not issubclass(_utils.QuantMixin, _utils.QuantInputMixin)
    assert not issubclass(_utils.QuantInputMixin, _utils.QuantMixin)
