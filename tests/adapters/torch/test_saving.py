"""Quantized models in files: what comes back is what was saved, bit for bit."""

import copy
import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
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

X = torch.randn(4, 3, 6, 6, generator=torch.manual_seed(0))
HISTOGRAMS = [{"input": {"calib_method": "mse"}, "weight": {"axis": 0}}]


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x).relu() + x


class Net(nn.Module):
    """A residual block, normalisation and a head."""

    def __init__(self, classes: int = 5, head: type[nn.Module] = nn.Linear) -> None:
        super().__init__()
        self.block = Block()
        self.norm = nn.BatchNorm2d(3)
        self.head = head(108, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.norm(self.block(x)).flatten(1))


def float_net(seed: int = 0) -> Net:
    torch.manual_seed(seed)
    return Net().eval()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.safetensors"


def round_trip(
    model: nn.Module, float_model: nn.Module, path: Path, **options: Any
) -> nn.Module:
    save(model, path, **options)
    return restore(float_model, path)


def assert_same(restored: nn.Module, model: nn.Module, x: torch.Tensor = X) -> None:
    """Compare the outputs and what quantizers print, amax and stages among it."""
    assert str(restored) == str(model)
    assert torch.equal(restored(x), model(x))


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


def other(change: Callable[[Net], Any]) -> Callable[[], Net]:
    def make() -> Net:
        net = float_net()
        change(net)
        return net

    return make


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Net(7), r"weight of 'head' was of shape \(5, 108\), and is of shape"),
        (
            lambda: Net(head=nn.Bilinear.__class__ and Odd),
            "'head' was a Linear, and is",
        ),
        (other(lambda n: delattr(n, "norm")), "'norm' was a BatchNorm2d, and is miss"),
        (other(lambda n: n.add_module("more", nn.ReLU())), "'more', a ReLU, was not"),
        (other(lambda n: n.head.register_parameter("bias", None)), "is missing here"),
        (nn.Sequential, "the model was a Net, and is a Sequential here"),
        (
            other(lambda n: n.add_module("own", TensorQuantizer())),
            "must have no quantizer 'own'",
        ),
    ],
)
def test_another_architecture_is_refused(
    path: Path, make: Callable[[], nn.Module], words: str
) -> None:
    save(quantize(float_net(), "int8", [X]), path)
    model = make()
    before = str(model)
    with pytest.raises(ValueError, match=words) as caught:
        restore(model, path)
    assert str(caught.value).startswith("`float_model` must ")
    assert str(model) == before


class Odd(nn.Linear):
    """A linear layer of another name."""


def test_a_quantizer_of_the_saved_model_s_own_must_be_there(path: Path) -> None:
    save(nn.Sequential(nn.ReLU(), nn.Sequential(TensorQuantizer())), path)
    with pytest.raises(ValueError, match=r"must have the quantizer '1.0'"):
        restore(nn.Sequential(nn.ReLU(), nn.Sequential()), path)


def test_a_model_without_weights_is_refused(path: Path) -> None:
    save(quantize(float_net(), "int8", [X]), path)
    with pytest.raises(ValueError, match="it is on the meta device"):
        restore(Net().to("meta"), path)


def test_a_missing_file_is_not_found(path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such file"):
        restore(float_net(), path)


@pytest.mark.parametrize("keep", [0, 5, 100, -1])
def test_a_truncated_file_is_refused(path: Path, keep: int) -> None:
    save(quantize(float_net(), "int8", [X]), path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(qcore.FileFormatError, match="is no safetensors file"):
        restore(float_net(), path)


def test_files_of_something_else_are_refused(path: Path) -> None:
    save_file({"weight": X}, path)
    with pytest.raises(qcore.FileFormatError, match="it holds other tensors"):
        restore(float_net(), path)
    qcore.save(path, {"x": qcore.Range.of(X)})
    with pytest.raises(qcore.FileFormatError, match="it holds something else"):
        restore(float_net(), path)


def damage(path: Path, change: Callable[[dict[str, Any], dict[str, Any]], Any]) -> None:
    """Rewrite a file after a change of its header and tensors."""
    tensors, whole = load_file(path), path.read_bytes()
    length = int.from_bytes(whole[:8], "little")
    header = json.loads(json.loads(whole[8 : 8 + length])["__metadata__"]["qcore"])
    change(header, tensors)
    save_file(tensors, path, metadata={"qcore": json.dumps(header)})


def test_a_file_of_a_later_version_is_refused(path: Path) -> None:
    save(float_net(), path)
    damage(path, lambda header, _: header.update(version=2))
    with pytest.raises(qcore.FileFormatError, match="version 1 at most; got 2"):
        restore(float_net(), path)


DAMAGES: dict[str, Callable[[dict[str, Any], dict[str, Any]], Any]] = {
    "no architecture": lambda header, _: header.pop("architecture"),
    "no states": lambda header, _: header.pop("states"),
    "descriptor": lambda h, _: first(h).update(descriptor="num_bits: much"),
    "no descriptor": lambda header, _: first(header).pop("descriptor"),
    "no stage": lambda header, _: first(header).pop("stages"),
    "no range": lambda _, tensors: tensors.pop("head._input_quantizer._range"),
    "alias": lambda header, _: header.update(aliases={"a": "b"}),
    "no weight": lambda _, tensors: tensors.pop("norm.bias"),
    "weight": lambda _, tensors: tensors.update({"norm.bias": torch.zeros(9)}),
    "counts": lambda _, tensors: tensors.pop("statistics/0.nans"),
}


def first(header: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(iter(header["quantizers"].values()))
    return found


@pytest.mark.parametrize("change", DAMAGES.values(), ids=DAMAGES)
def test_contents_that_do_not_fit_together_are_refused(
    path: Path, change: Callable[[dict[str, Any], dict[str, Any]], Any]
) -> None:
    model = quantize(float_net(), "int8", [X])
    save(model, path, statistics=True, weights=True)
    damage(path, change)
    model = float_net()
    with pytest.raises(qcore.FileFormatError, match="do not fit together"):
        restore(model, path)
    assert str(model) == str(float_net())


def test_writing_is_atomic(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = quantize(float_net(), "int8", [X])
    save(model, path)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save(model, path, weights=True)
    monkeypatch.undo()
    assert_same(restore(float_net(), path), model)
    assert list(path.parent.iterdir()) == [path]
