import itertools
from collections import namedtuple

import numpy as np
import pytest
import torch
from torch import nn

from qcore import Histogram, NonFiniteError, QuantSpec, compute_range, methods
from qcore.adapters.torch.calibration.model import calibrate, collect, load_ranges
from qcore.adapters.torch.nn.modules.quant_linear import QuantLinear
from qcore.adapters.torch.nn.modules.quant_rnn import QuantLSTM, QuantLSTMCell
from qcore.adapters.torch.nn.modules.tensor_quantizer import TensorQuantizer
from qcore.adapters.torch.quantizer.descriptor import QuantDescriptor
from qcore.errors import NoDataError
from qcore.methods.registry import find_method

METHODS = [
    name
    for name in methods()
    if Histogram in find_method(name).needs and name not in ("constant", "floating")
]
"""Those that read histograms; the two that are left out are told the range, or need
float formats."""


def quantizer(method="max", **given):
    return TensorQuantizer(QuantDescriptor(calib_method=method, **given))


def data(count=64):
    return torch.from_numpy(
        np.random.default_rng(5).standard_normal((count, 6))
    ).float()


def test_s3_11_ranges_are_of_the_data_and_quantization_is_on_afterwards():
    layer, x = QuantLinear(6, 2), data()

    assert calibrate(layer, [x[:10], x[10:]]) is layer
    assert layer.input_quantizer.amax == x.abs().max()
    largest = layer.weight.abs().amax(1, keepdim=True)
    assert torch.equal(layer.weight_quantizer.amax, largest)
    assert layer.input_quantizer.stages.quantizes
    assert not layer.input_quantizer.stages.calibrates


@pytest.mark.parametrize("method", METHODS)
def test_batches_and_their_order_do_not_matter(method):
    found = []
    for sizes in ([64], [1] * 64, [10, 20, 34]):
        batches = data().split(sizes)
        found.append(calibrate(quantizer(method), batches[::-1]).amax)

    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


@pytest.mark.parametrize("method", METHODS)
def test_ranges_are_those_of_the_core(method):
    seen = Histogram.of(data().numpy())
    lo, hi = compute_range(seen, QuantSpec(symmetric=False), method)

    found = calibrate(quantizer(method, symmetric=False), [data()])
    assert found.ends() == (lo.item(), hi.item())


def test_channels_of_activations_have_their_own_ranges():
    x = data()

    found = calibrate(
        quantizer("percentile", axis=1, calib_options={"percentile": 100}), [x]
    )
    assert torch.equal(found.amax, x.abs().amax(0, keepdim=True))


def test_float_formats_and_blocks_are_calibrated():
    x = data()

    found = calibrate(quantizer(format="float8_e5m2", block_sizes={-1: 4}), [x])
    expected = torch.stack([x[:, :4].abs().amax(1), x[:, 4:].abs().amax(1)], 1)
    assert torch.equal(found.amax, expected)


def test_s3_27_other_methods_need_no_other_collection():
    model = nn.Sequential(quantizer("mse"))
    calibrate(model, [data()])
    load_ranges(model, "percentile", percentile=50.0)

    below = (data().abs() <= model[0].amax).float().mean()
    assert below.item() == pytest.approx(0.5, abs=0.02)


def test_collecting_adds_and_calibrating_starts_anew():
    model = calibrate(nn.Sequential(quantizer()), [torch.full((1,), 9.0)])
    collect(model, [torch.full((1,), 5.0)])
    load_ranges(model)
    assert model[0].amax == 9

    calibrate(model, [torch.full((1,), 5.0)])
    assert model[0].amax == 5


def test_weights_need_no_data():
    layer = calibrate(QuantLinear(3, 2))

    assert layer.weight_quantizer.has_range()
    assert not layer.input_quantizer.has_range()


def test_weights_of_recurrent_layers_are_those_of_their_gates():
    cell, layer = QuantLSTMCell(3, 2), QuantLSTM(3, 2)
    calibrate(nn.ModuleList([cell, layer]))

    both = torch.cat([cell.weight_ih, cell.weight_hh], 1).abs().amax(1, keepdim=True)
    assert torch.equal(cell.weight_quantizer.amax, both)
    both = torch.cat([layer.weight_ih_l0, layer.weight_hh_l0], 1)
    expected = both.abs().amax(1, keepdim=True)
    assert torch.equal(layer._weight_quantizers[0].amax, expected)


def test_later_layers_see_unquantized_data():
    x = data()
    model = nn.Sequential(quantizer(num_bits=2), quantizer())

    calibrate(model, [x])
    assert model[1].amax == x.abs().max()


def test_fixed_disabled_and_learning_quantizers():
    fixed, off = quantizer(amax=3.0), TensorQuantizer(disabled=True)
    clip, scale = quantizer(learn_amax=True), quantizer(learn_scale=True)
    calibrate(nn.Sequential(fixed, off, clip, scale), [torch.tensor([254.0])])

    assert fixed.amax == 3
    assert not off.has_range()
    assert clip.clip.clip_value_max == 254
    assert scale.learned_scale == 2


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = quantizer(), quantizer()

    def forward(self, one, other, mask=None):
        assert mask is None
        return self.a(one) + self.b(other)


@pytest.mark.parametrize(
    "batch",
    [
        (torch.tensor([1.0]), torch.tensor([2.0]), "label"),
        [torch.tensor([1.0]), torch.tensor([2.0]), torch.tensor([3])],
        {"other": torch.tensor([2.0]), "one": torch.tensor([1.0]), "label": 3},
        namedtuple("Batch", "x y")(torch.tensor([1.0]), torch.tensor([2.0])),
    ],
)
def test_a_batch_gives_the_parameters_that_the_model_requires(batch):
    model = calibrate(Pair(), [batch])

    assert (model.a.amax, model.b.amax) == (1, 2)


def test_a_loop_is_called_with_the_model_in_eval_mode_without_gradients():
    model = nn.Sequential(quantizer(), nn.Dropout(0.99))
    model[1].eval()

    def loop(model):
        assert not any(m.training for m in model.modules())
        assert not torch.is_grad_enabled()
        model(data())

    calibrate(model, loop)
    assert model[0].training
    assert not model[1].training


def test_modes_are_as_before_after_an_exception():
    model = nn.Sequential(quantizer(), quantizer())
    model[1].disable_quant()

    def loop(model):
        model[0](data())
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        calibrate(model, loop)
    assert [q.stages.quantizes for q in model] == [True, False]
    assert not any(q.stages.calibrates for q in model)
    assert model.training
    assert not model._forward_hooks


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
@pytest.mark.parametrize("method", ["max", "mse"])
def test_data_that_is_not_finite_is_told_with_module_and_batch(bad, method):
    model = nn.ModuleDict({"q": quantizer(method)})
    model.forward = model["q"].forward
    batches = [torch.ones(2), torch.tensor([1, bad]), torch.ones(2)]

    with pytest.raises(NonFiniteError, match="q saw NaN or infinity in batch 2"):
        calibrate(model, batches)
    assert not model["q"].has_range()


def test_weights_that_are_not_finite_are_told():
    layer = QuantLinear(2, 2)
    layer.weight.data[0, 0] = torch.nan

    with pytest.raises(NonFiniteError, match=r"_weight_quantizer.*the weights"):
        calibrate(layer, [torch.ones(1, 2)])


def test_calls_past_the_models_own_are_checked_at_the_end():
    model = nn.Sequential(quantizer())

    with pytest.raises(NonFiniteError, match="0 saw NaN or infinity in the data"):
        calibrate(model, lambda model: model[0](torch.tensor([torch.inf])))


def test_quantizers_that_saw_nothing_are_named_and_no_range_changes():
    model = nn.ModuleDict({"a": quantizer(), "b": quantizer(), "c": quantizer()})

    with pytest.raises(NoDataError, match="b, c saw none"):
        calibrate(model, lambda model: model["a"](data()))
    assert not model["a"].has_range()


@pytest.mark.parametrize("method", ["max", "mse"])
def test_empty_batches_are_no_data(method):
    with pytest.raises(NoDataError, match="the quantizer saw none"):
        calibrate(quantizer(method), [torch.empty(0, 3)])


def test_unseen_quantizers_are_disabled_if_not_strict(caplog):
    model = nn.ModuleDict({"a": quantizer(), "b": quantizer()})

    calibrate(model, lambda model: model["a"](data()), strict=False)
    assert not model["b"].is_enabled
    assert "saw no data: b" in caplog.text


def test_any_iterable_will_do():
    assert calibrate(quantizer(), itertools.repeat(data(), 2)).has_range()
    with pytest.raises(TypeError, match="forward_loop"):
        calibrate(quantizer(), 3)
    with pytest.raises(TypeError, match="batch"):
        calibrate(quantizer(), [3])


def test_an_unknown_method_is_told_with_the_quantizer():
    model = calibrate(nn.Sequential(quantizer("mse")), [data()])

    with pytest.raises(TypeError, match=r"0: .*'entropy'"):
        load_ranges(model, "entrpy")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_ranges_are_float32_of_any_data(dtype):
    x = data().to(dtype)

    found = calibrate(quantizer("mse"), [x]).amax
    assert found.dtype == torch.float32
    assert found <= x.abs().max()
