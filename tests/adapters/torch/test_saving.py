"""Models that are saved and restored."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F  # noqa: N812 - its usual name

import qcore
from qcore.adapters.torch.nn.modules.quant_linear import QuantLinear
from qcore.adapters.torch.nn.modules.tensor_quantizer import TensorQuantizer
from qcore.adapters.torch.quantize import quantize
from qcore.adapters.torch.quantizer.descriptor import QuantDescriptor
from qcore.adapters.torch.quantizer.lookup import named_quantizers
from qcore.adapters.torch.rewriting.residuals import quantize_residuals
from qcore.adapters.torch.saving.files import restore, save, saved_config
from tests.adapters.torch.saved_nets import X, assert_same, float_net

HISTOGRAMS = [{"input": {"calib_method": "mse"}, "weight": {"axis": 0}}]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.safetensors"


def round_trip(
    model: nn.Module, float_model: nn.Module, path: Path, **options: Any
) -> nn.Module:
    save(model, path, **options)
    return restore(float_model, path)


@pytest.mark.parametrize(
    "config",
    [
        "int8",
        HISTOGRAMS,
        "float8_e4m3fn",
        "mxfp8_e4m3",
        [{"type": "Linear", "input": {"symmetric": False}, "output": "int8"}],
        [{"input": {"unsigned": True, "dynamic": True}}],
    ],
    ids=str,
)
def test_a_restored_model_computes_the_same_bits(path: Path, config: Any) -> None:
    model = quantize(float_net(), config, [X])
    assert_same(round_trip(model, float_net(), path), model)


def test_weights_are_the_float_model_s_own(path: Path) -> None:
    restored = round_trip(quantize(float_net(), "int8", [X]), float_net(1), path)
    assert torch.equal(restored.head.weight, float_net(1).head.weight)


def test_weights_come_back_if_they_were_asked_for(path: Path) -> None:
    model = quantize(float_net(), "int8", [X])
    model.norm.running_mean += 1
    assert_same(round_trip(model, float_net(1), path, weights=True), model)


def test_tied_weights_are_stored_once(path: Path) -> None:
    def tied() -> nn.Module:
        model = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 6))
        model[1].weight = model[0].weight
        return model

    model = quantize(tied(), "int8", [X])
    restored = round_trip(model, tied(), path, weights=True)
    assert_same(restored, model)
    assert restored[0].weight is restored[1].weight
    assert "1.weight" not in load_file(path)


def test_weights_that_are_views_are_stored(path: Path) -> None:
    model = quantize(nn.Linear(6, 3), "int8", [X])
    whole = torch.randn(6, 6)
    model.weight = nn.Parameter(whole[:3])
    assert_same(round_trip(model, nn.Linear(6, 3), path, weights=True), model)


def test_half_precision_weights_are_stored(path: Path) -> None:
    model = quantize(float_net().bfloat16(), "int8", [X.bfloat16()])
    restored = round_trip(model, float_net(1).bfloat16(), path, weights=True)
    assert_same(restored, model, X.bfloat16())


def test_statistics_come_back_if_they_were_asked_for(path: Path) -> None:
    model = quantize(float_net(), HISTOGRAMS, [X])
    restored = round_trip(model, float_net(), path, statistics=True)
    for name, quantizer in named_quantizers(model).items():
        ours = named_quantizers(restored)[name].calibrator.statistics
        seen = quantizer.calibrator.statistics
        for field in seen.array_fields():
            pair = getattr(ours, field), getattr(seen, field)
            assert torch.equal(*pair)
            assert pair[0].dtype == pair[1].dtype


def test_another_method_can_be_chosen_after_restoring(path: Path) -> None:
    model = quantize(float_net(), HISTOGRAMS, [X])
    restored = round_trip(model, float_net(), path, statistics=True)
    for net in (model, restored):
        net.head.input_quantizer.load_calib_amax("percentile", percentile=90)
    assert_same(restored, model)


def test_statistics_are_left_out_else(path: Path) -> None:
    restored = round_trip(quantize(float_net(), "int8", [X]), float_net(), path)
    found = [q.calibrator.statistics for q in named_quantizers(restored).values()]
    assert found == [None] * 4


def test_stages_and_formats_that_were_changed_are_kept(path: Path) -> None:
    model = quantize(float_net(), "int8", [X])
    model.head.input_quantizer.disable()
    model.head.weight_quantizer.num_bits = 4
    model.block.conv.input_quantizer.enable_calib()
    model.block.conv.input_quantizer.unsigned = True
    model.block.conv.weight_quantizer.disable_quant()
    assert_same(round_trip(model, float_net(), path), model)


def test_quantizers_without_range_stay_dynamic(path: Path) -> None:
    model = quantize(float_net(), "int8")
    assert_same(round_trip(model, float_net(), path), model)


@pytest.mark.parametrize("learned", [{"learn_scale": True}, {"learn_amax": True}])
def test_learned_ranges_are_kept(path: Path, learned: dict[str, bool]) -> None:
    model = quantize(float_net(), [{"input": learned}], [X])
    with torch.no_grad():
        for parameter in model.head.input_quantizer.parameters():
            parameter.mul_(0.7)
    assert_same(round_trip(model, float_net(), path), model)


def test_scales_before_quantization_are_kept(path: Path) -> None:
    model = quantize(float_net(), "int8", [X])
    model.head.input_quantizer.pre_quant_scale = torch.linspace(0.5, 2, 108)
    assert_same(round_trip(model, float_net(), path), model)


def test_quantized_residuals_are_kept(path: Path) -> None:
    model = quantize(quantize_residuals(float_net()), "int8", [X])
    assert "block.residual_quantizer" in named_quantizers(model)
    assert_same(round_trip(model, float_net(), path), model)


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Linear(6, 18)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.scaled_dot_product_attention(*self.project(x).chunk(3, -1))


def test_quantized_function_calls_are_kept(path: Path) -> None:
    functions = {"scaled_dot_product_attention": {"key": "int8", "value": "int8"}}
    config = [{"type": "Attention", "functions": functions}, {"preset": "int8"}]
    torch.manual_seed(0)
    model = quantize(nn.Sequential(Attention()), config, [X])
    model[0].scaled_dot_product_attention_0["key_quantizer"].disable()
    restored = round_trip(model, nn.Sequential(Attention()), path, weights=True)
    assert_same(restored, model)


def test_lists_of_quantizers_are_kept(path: Path) -> None:
    def float_lstm() -> nn.Module:
        torch.manual_seed(0)
        return nn.LSTM(6, 4, num_layers=2, batch_first=True)

    x = X[:, 0]
    config = [{"type": "LSTM", "input": "int8", "weight": {"axis": 0}}]
    model = quantize(float_lstm(), config, [x])
    model._input_quantizers[1].num_bits = 5
    restored = round_trip(model, float_lstm(), path)
    assert str(restored) == str(model)
    assert torch.equal(restored(x)[0], model(x)[0])


def test_quantizers_of_the_model_s_own_are_kept(path: Path) -> None:
    def own() -> nn.Module:
        return nn.Sequential(nn.ReLU(), TensorQuantizer())

    model = own()
    model[1].replace_range(torch.tensor(-2.0), torch.tensor(2.0))
    assert_same(round_trip(model, own(), path), model)


def test_a_model_that_is_one_layer_is_kept(path: Path) -> None:
    layer = nn.Linear(6, 2)
    model = quantize(copy.deepcopy(layer), "int8", [X])
    assert_same(round_trip(model, layer, path), model)


def test_a_model_built_of_quantized_modules_is_restored_too(path: Path) -> None:
    desc = QuantDescriptor(num_bits=5, axis=1)
    model = nn.Sequential(QuantLinear(6, 2, quant_desc_weight=desc))
    model[0].weight_quantizer.replace_range(-torch.ones(1, 6), torch.ones(1, 6))
    again = nn.Sequential(QuantLinear(6, 2))
    assert_same(round_trip(model, again, path, weights=True), model)


def test_a_module_in_two_places_stays_one(path: Path) -> None:
    def shared() -> nn.Module:
        torch.manual_seed(0)
        layer = nn.Linear(6, 6)
        return nn.Sequential(layer, nn.ReLU(), layer)

    model = quantize(shared(), "int8", [X])
    restored = round_trip(model, shared(), path, weights=True)
    assert restored[0] is restored[2]
    assert_same(restored, model)


def test_modes_are_those_of_the_float_model(path: Path) -> None:
    save(quantize(float_net(), "int8", [X]), path)
    assert all(m.training for m in restore(float_net().train(), path).modules())
    assert not any(m.training for m in restore(float_net(), path).modules())


def test_other_readers_find_scale_and_zero_point(path: Path) -> None:
    config = [{"type": "Linear", "input": {"symmetric": False, "unsigned": True}}]
    save(quantize(nn.Sequential(nn.Linear(6, 2)), config, [X]), path)
    found, spec = load_file(path), qcore.QuantSpec("uint8", symmetric=False)
    expected = qcore.qparams_from_range(X.min(), X.max(), spec)
    assert torch.equal(found["0._input_quantizer.scale"], expected.scale)
    assert torch.equal(found["0._input_quantizer.zero_point"], expected.zero_point)


def test_the_configuration_is_kept(path: Path) -> None:
    config = [{"type": "Linear", "input": {"num_bits": 4}, "weight": None}]
    save(float_net(), path, config=config)
    assert saved_config(path) == config


def test_a_configuration_that_is_no_plain_data_is_refused(path: Path) -> None:
    with pytest.raises(TypeError, match="`config` must be plain data"):
        save(float_net(), path, config={"where": print})
    assert not path.exists()


def test_a_state_that_is_no_tensor_is_refused(path: Path) -> None:
    class Odd(nn.Linear):
        def get_extra_state(self) -> Any:
            return "text"

    with pytest.raises(TypeError, match="got str for '_extra_state'"):
        save(Odd(2, 2), path, weights=True)
    assert not path.exists()
