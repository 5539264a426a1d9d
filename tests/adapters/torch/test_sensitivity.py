"""What each layer alone does to the output, and that nothing is left changed."""

import contextlib
import copy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from qcore import NoDataError
from qcore.adapters.torch.nn.modules.tensor_quantizer import TensorQuantizer
from qcore.adapters.torch.quantize import quantize
from qcore.adapters.torch.quantizer.lookup import named_quantizers
from qcore.adapters.torch.sensitivity import Sensitivity, sensitivity

X = torch.randn(12, 8, generator=torch.manual_seed(0))
CONFIG = [
    {"name": "2", "input": {"num_bits": 3}, "weight": {"num_bits": 3}},
    {"preset": "int8"},
]


def float_net() -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8), nn.Linear(8, 3))


@pytest.fixture
def model() -> nn.Sequential:
    """Layers 0 and 3 have 8 bits, layer 2 has 3."""
    found = quantize(float_net(), CONFIG, [X])
    assert isinstance(found, nn.Sequential)
    return found


def sqnr(model: nn.Module, enabled: set[str]) -> float:
    """Return what the quantizers of some layers alone lose, in dB, by numpy."""
    wanted = float_net()(X).detach().numpy().astype(np.float64)
    for name, quantizer in named_quantizers(model).items():
        is_enabled = name.split(".")[0] in enabled
        quantizer.stages = replace(quantizer.stages, is_enabled=is_enabled)
    got = model(X).detach().numpy()
    return float(10 * np.log10((wanted**2).sum() / ((wanted - got) ** 2).sum()))


def test_each_value_is_the_sqnr_with_that_layer_alone(model: nn.Sequential) -> None:
    found = sensitivity(model, [X])
    for name, value in found.values.items():
        assert value == pytest.approx(sqnr(copy.deepcopy(model), {name}), rel=1e-6)
    every = sqnr(copy.deepcopy(model), {"0", "2", "3"})
    assert found.quantized == pytest.approx(every, rel=1e-6)
    assert found.unquantized == np.inf


def test_in_reverse_it_is_the_sqnr_with_all_but_that_layer(
    model: nn.Sequential,
) -> None:
    found = sensitivity(model, [X], reverse=True)
    for name, value in found.values.items():
        others = {"0", "2", "3"} - {name}
        assert value == pytest.approx(sqnr(copy.deepcopy(model), others), rel=1e-6)


@pytest.mark.parametrize("reverse", [False, True])
def test_the_layer_of_fewest_bits_comes_first(
    model: nn.Sequential, reverse: bool
) -> None:
    found = sensitivity(model, [X], reverse=reverse)
    assert next(iter(found.values)) == "2"
    assert sorted(found.values) == ["0", "2", "3"]


def test_batches_do_not_matter_and_are_read_once(model: nn.Sequential) -> None:
    whole, parts = sensitivity(model, [X]), sensitivity(model, iter(X.split(5)))
    assert parts.values == pytest.approx(dict(whole.values), rel=1e-6)


def test_labels_in_batches_are_left_out(model: nn.Sequential) -> None:
    assert sensitivity(model, [(X, X[:, 0])]) == sensitivity(model, [X])


def negative_error(model: nn.Module, loader: Any) -> float:
    (x,) = loader
    return -float((model(x) - float_net()(x)).detach().abs().mean())


def error(model: nn.Module, loader: Any) -> float:
    return -negative_error(model, loader)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(
    ("metric", "greater"), [(negative_error, True), (error, False)]
)
def test_another_metric_is_called_with_model_and_loader(
    model: nn.Sequential, metric: Any, greater: bool, reverse: bool
) -> None:
    found = sensitivity(model, [X], metric, greater_is_better=greater, reverse=reverse)
    assert next(iter(found.values)) == "2"
    assert found.unquantized == 0
    assert found.metric == metric.__name__
    assert found.quantized == metric(model, [X])


def test_what_is_no_number_comes_first(model: nn.Sequential) -> None:
    def metric(model: Any, _: Any) -> float:
        return np.nan if model[3].input_quantizer.is_enabled else 1.0

    assert next(iter(sensitivity(model, [X], metric).values)) == "3"


class BrokenError(Exception):
    pass


def broken(*_: Any) -> float:
    raise BrokenError


def breaks(x: torch.Tensor) -> Iterator[torch.Tensor]:
    yield x
    raise BrokenError


@pytest.mark.parametrize(
    ("loader", "metric"), [([X], None), ([X], broken), (breaks(X), None)]
)
def test_all_is_as_before_whatever_happens(
    model: nn.Sequential, loader: Any, metric: Any
) -> None:
    model.train()
    model[2].eval()
    model[0].input_quantizer.disable()
    model[3].input_quantizer.enable_calib()
    before, text = [m.training for m in model.modules()], str(model)
    seen = model[3].input_quantizer.calibrator.statistics
    with contextlib.suppress(BrokenError):
        sensitivity(model, loader, metric)
    assert ([m.training for m in model.modules()], str(model)) == (before, text)
    assert model[3].input_quantizer.calibrator.statistics is seen
    assert torch.is_grad_enabled()


def test_disabled_quantizers_stay_so(model: nn.Sequential) -> None:
    for quantizer in named_quantizers(model[2]).values():
        quantizer.disable()
    found = sensitivity(model, [X])
    assert sorted(found.values) == ["0", "3"]
    every = sqnr(copy.deepcopy(model), {"0", "3"})
    assert found.quantized == pytest.approx(every, rel=1e-6)


def test_a_layer_that_loses_nothing_is_infinitely_good() -> None:
    layer = nn.Linear(2, 2, bias=False)
    layer.weight.data = torch.tensor([[127.0, 1], [2, 3]])
    data = torch.tensor([[127.0, -5], [3, 4]])
    model = quantize(nn.Sequential(layer), [{"weight": {}, "input": {}}], [data])
    assert sensitivity(model, [data]).values == {"0": np.inf}


def test_outputs_may_be_structures(model: nn.Sequential) -> None:
    class Wrapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = model

        def forward(self, x: torch.Tensor) -> Any:
            return {"logits": self.inner(x), "which": [x.argmax(1), None]}

    found = sensitivity(Wrapped(), [{"x": X}])
    expected = sensitivity(model, [X]).values
    assert found.values == {f"inner.{name}": x for name, x in expected.items()}


def test_quantizers_outside_of_layers_stand_for_themselves() -> None:
    model = nn.Sequential(nn.Linear(8, 3), TensorQuantizer())
    assert list(sensitivity(model, [X]).values) == ["1"]


def test_the_quantizers_of_a_list_are_one_layer() -> None:
    config = [{"type": "LSTM", "input": "int8", "weight": {"axis": 0}}]
    model = quantize(nn.LSTM(8, 4, num_layers=2), config, [X])
    assert list(sensitivity(model, [X]).values) == [""]


def test_without_enabled_quantizers_there_is_nothing_to_tell() -> None:
    with pytest.raises(ValueError, match="`model` must have quantizers that are enab"):
        sensitivity(float_net(), [X])


def test_no_batch_is_an_error(model: nn.Sequential) -> None:
    with pytest.raises(NoDataError, match="`loader` must hold batches"):
        sensitivity(model, [])


FOUND = Sensitivity({"conv": 12.5, "": 30.0}, np.inf, 11.25, "sqnr", False)


def test_the_table_has_a_line_for_each_layer_and_both_ends() -> None:
    assert str(FOUND).splitlines() == [
        "this layer alone   sqnr",
        "conv               12.5",
        "(the model)          30",
        "(all)             11.25",
        "(none)              inf",
    ]


def test_nothing_is_printed_where_nobody_watches(
    model: nn.Sequential, capfd: pytest.CaptureFixture[str]
) -> None:
    sensitivity(model, [X])
    sensitivity(model, [X], error)
    assert capfd.readouterr() == ("", "")


SIGNATURES = {"a.png": b"\x89PNG", "a.svg": b"<?xml", "a": b"\x89PNG"}


@pytest.mark.parametrize(("name", "signature"), SIGNATURES.items())
def test_a_picture_is_written(tmp_path: Path, name: str, signature: bytes) -> None:
    pytest.importorskip("matplotlib")
    values = {"conv": 12.5, "lossless": np.inf, "broken": np.nan, "x_$1$_$": -3.0}
    Sensitivity(values, np.inf, 11.25, "sqnr", False).plot(tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(signature)


def test_a_picture_of_an_unknown_kind_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    with pytest.raises(ValueError, match="Format 'xyz' is not supported"):
        FOUND.plot(tmp_path / "a.xyz")
    assert list(tmp_path.iterdir()) == []
