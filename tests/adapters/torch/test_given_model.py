"""What a user gives: no module or tensor, wrapped modules, loops that are none."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from qcore import QuantError, mean_ratio, qparams_from_weights
from qcore.adapters.torch import calibrate, quantize, restore, save
from qcore.adapters.torch.calib import MaxCalibrator
from qcore.adapters.torch.nn import TensorQuantizer
from qcore.adapters.torch.tensor_quant import fake_tensor_quant


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3))


def compiled(model: nn.Module) -> Any:
    return torch.compile(model, backend="eager")


def batch() -> torch.Tensor:
    return torch.randn(6, 4, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("call", [quantize, calibrate, lambda m: save(m, "never")])
@pytest.mark.parametrize("given", [5, None, "model", nn.Linear])
def test_what_is_no_module_is_refused(call: Callable[[Any], Any], given: Any) -> None:
    with pytest.raises(TypeError, match=r"`model` must be a torch\.nn\.Module"):
        call(given)


def test_a_wrong_loop_is_refused_before_the_model_changes() -> None:
    model = net()
    with pytest.raises(TypeError, match="forward_loop"):
        quantize(model, None, 5)
    assert type(model[0]) is nn.Linear


def test_a_model_without_quantizers_cannot_be_calibrated() -> None:
    with pytest.raises(QuantError, match="quantizers"):
        calibrate(net(), [batch()])


@pytest.mark.parametrize("wrap", [nn.DataParallel, compiled])
def test_labels_stay_out_of_wrapped_models(wrap: Callable[[nn.Module], Any]) -> None:
    model, alone = (quantize(net(), "int8") for _ in range(2))
    calibrate(wrap(model), [(batch(), torch.zeros(6))])
    calibrate(alone, [batch()])
    assert torch.equal(model(batch()), alone(batch()))


def test_a_compiled_model_is_saved_as_what_it_compiles(tmp_path: Path) -> None:
    model = quantize(net(), "int8", [batch()])
    save(compiled(model), tmp_path / "model.safetensors")
    assert torch.equal(
        restore(net(), tmp_path / "model.safetensors")(batch()), model(batch())
    )


@pytest.mark.parametrize("weights", [False, True])
def test_restoring_reports_no_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, weights: bool
) -> None:
    save(quantize(net(), "int8", [batch()]), tmp_path / "model", weights=weights)
    with caplog.at_level(logging.ERROR):
        restore(net(), tmp_path / "model")
    assert caplog.text == ""


@pytest.mark.parametrize("given", [np.ones(3, np.float32), [1.0], None])
def test_what_is_no_tensor_is_refused(given: Any) -> None:
    for call in (TensorQuantizer(), MaxCalibrator().collect):
        with pytest.raises(TypeError, match="must be a tensor"):
            call(given)


@pytest.mark.parametrize("text", ["{rules: [", "", "a: b: c"])
def test_an_error_in_a_text_is_one_sentence(text: str) -> None:
    with pytest.raises(ValueError, match="`config` must") as raised:
        quantize(net(), text)
    assert "\n" not in str(raised.value)


def test_a_binary_file_is_no_configuration(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="`config` must be YAML or JSON"):
        quantize(net(), path)


@pytest.mark.parametrize(
    "rule", [{"type": 5}, {"name": 5}, {"input": {"num_bits": 99}}]
)
def test_a_wrong_rule_is_named(rule: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError), match=r"^rule 1.*must be"):
        quantize(net(), [{"preset": "int8", **rule}])


@pytest.mark.parametrize("bits", [1, 0, -1, 33, "a", None, 8.0])
def test_widths_that_no_integers_have_are_refused(bits: Any) -> None:
    with pytest.raises(ValueError, match="`num_bits` must be an integer from 2 to 24"):
        fake_tensor_quant(batch(), 1.0, bits)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ((), {"foo": 1}),
        ((False,), {"unsigned": True}),
        ((torch.float32, False, True, 3), {}),
    ],
)
def test_surplus_settings_are_named(given: Any, named: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="each once; got"):
        fake_tensor_quant(batch(), 1.0, 8, *given, **named)


@pytest.mark.parametrize("amax", [None, "a", [1.0, "a"]])
def test_what_is_no_amax_is_refused(amax: Any) -> None:
    with pytest.raises(TypeError, match="a bound must be a number or a tensor"):
        fake_tensor_quant(batch(), amax)


def test_the_scales_found_for_weights_are_those_in_use() -> None:
    model = quantize(net(), "int8", [batch()])
    for layer in (model[0], model[2]):
        ratio = float(mean_ratio(layer.input_quantizer.calibrator.statistics).mean())
        spec = layer.weight_quantizer.spec
        found = qparams_from_weights(layer.weight.detach(), spec, mean_ratio=ratio)
        assert torch.equal(layer.weight_quantizer.qparams().scale, found.scale)
