"""What a user gives: no module, wrapped modules, loops that are none."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from qcore import QuantError
from qcore.adapters.torch import calibrate, quantize, restore, save


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
