"""Arguments of the wrong kind, told in one sentence before anything is done."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from qcore import QuantSpec, Range, qparams_from_amax
from qcore.adapters.torch import (
    KVCache,
    export_onnx,
    print_summary,
    quant_modules,
    quantize,
    quantize_functions,
    quantize_residuals,
    read_config,
    restore,
    save,
    saved_config,
    sensitivity,
    sync,
    sync_statistics,
)
from qcore.adapters.torch.calib import (
    HistogramCalibrator,
    MaxCalibrator,
    calibrate_weights,
)
from qcore.adapters.torch.nn import Clip, TensorQuantizer
from qcore.adapters.torch.observers import (
    ClipObserver,
    ClipStdObserver,
    FixedScaleObserver,
    MinMaxObserver,
    MovingAveragePerChannelMinMaxObserver,
    NormObserver,
    PercentileObserver,
)
from qcore.adapters.torch.optim import helper
from qcore.adapters.torch.utils.reduce_amax import reduce_amax

SCALES = qparams_from_amax(torch.tensor(4.0), QuantSpec("int8"))
X = torch.ones(2, 4)


def net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 2))


def quantized() -> nn.Module:
    return quantize(net(), "int8", [X])


MODELS: dict[str, Callable[[Any], Any]] = {
    "print_summary": print_summary,
    "sensitivity": lambda model: sensitivity(model, [X]),
    "export_onnx": lambda model: export_onnx(model, X, "never.onnx"),
    "sync_statistics": sync_statistics,
    "quantize_residuals": quantize_residuals,
    "calibrate_weights": calibrate_weights,
    "freeze_parameters": lambda model: helper.freeze_parameters(model, ["weight"]),
    "group_parameters": lambda model: helper.group_parameters(model, [["weight"]]),
    "match_parameters": lambda model: helper.match_parameters(model, ["weight"]),
    "quant_weight_inplace": helper.quant_weight_inplace,
}


@pytest.mark.parametrize("call", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("given", [5, "model", nn.Linear])
def test_what_is_no_module_is_refused(call: Callable[[Any], Any], given: Any) -> None:
    with pytest.raises(TypeError, match=r"^`model` must be a torch\.nn\.Module"):
        call(given)


def test_other_names_of_models_are_told() -> None:
    with pytest.raises(TypeError, match="`float_model` must be a torch"):
        restore(5, "never")
    with pytest.raises(TypeError, match="`module` must be a torch"):
        quantize_functions(5, {})


ARGUMENTS: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "`args` must be a tensor": (lambda x: export_onnx(quantized(), x, "a"), None),
    "`opset_version` must be an integer": (
        lambda x: export_onnx(quantized(), X, "a", opset_version=x),
        "x",
    ),
    "`kwargs` must be": (lambda x: export_onnx(quantized(), X, "a", kwargs=x), 5),
    "`input_names` must be": (
        lambda x: export_onnx(quantized(), X, "a", input_names=x),
        "x",
    ),
    "`output_names` must be": (
        lambda x: export_onnx(quantized(), X, "a", output_names=x),
        [5],
    ),
    "`loader` must be": (lambda x: sensitivity(quantized(), x), 5),
    "`metric` must be": (lambda x: sensitivity(quantized(), [X], x), 5),
    "`functions` must map": (lambda x: quantize_functions(net(), x), 5),
    "`statistics` must map": (sync, 5),
    "`method` must be one of": (lambda x: calibrate_weights(net(), x), ["max"]),
    "`lrs` must have one": (
        lambda x: helper.group_parameters(net(), [["weight"]], lrs=x),
        1.0,
    ),
    "`patterns_list` must be": (lambda x: helper.group_parameters(net(), x), 5),
    "`patterns` must be": (lambda x: helper.freeze_parameters(net(), x), [5]),
    "a pattern must be": (lambda x: helper.freeze_parameters(net(), x), ["("]),
    "`qparams` must have a pair": (KVCache, 5),
    "`qparams` must have a pair for": (KVCache, [SCALES]),
    "`max_length` must be": (lambda x: KVCache([(SCALES, SCALES)], max_length=x), "a"),
    "`statistics` must have a pair": (KVCache.from_statistics, [Range.of(X)]),
    "`keys` must be a tensor": (lambda x: KVCache([(SCALES, SCALES)]).update(x, X), 5),
    "`index` must be integers": (lambda x: KVCache([(SCALES, SCALES)]).reorder(x), X),
    "`ch_axis` must be": (
        lambda x: MovingAveragePerChannelMinMaxObserver(ch_axis=x),
        "a",
    ),
    "`averaging_constant` must": (lambda x: MinMaxObserver(averaging_constant=x), "a"),
    "`quant_min` must be": (lambda x: MinMaxObserver(quant_min=x), 1.5),
    "`qscheme` must be": (lambda x: MinMaxObserver(qscheme=x), []),
    "`factory_kwargs` must be": (lambda x: MinMaxObserver(factory_kwargs=x), 5),
    "`xmin` and `xmax` must": (ClipObserver, "a"),
    "`percentile` must lie": (PercentileObserver, np.ones(2)),
    "`scale` must be": (FixedScaleObserver, "a"),
    "`zero_point` must be": (lambda x: FixedScaleObserver(1.0, x), "a"),
    "`axis` must be an": (lambda x: reduce_amax(X, x), "a"),
    "`std_scale` must be": (ClipStdObserver, "a"),
    "`norm` must be": (NormObserver, [1.0]),
    "`axis` must be": (lambda x: MaxCalibrator(axis=x), "a"),
    "`percentile` must": (
        lambda x: collected().compute_amax("percentile", percentile=x),
        "a",
    ),
    "`amax` must be": (lambda x: setattr(TensorQuantizer(), "amax", x), "a"),
    "`pre_quant_scale` must": (
        lambda x: setattr(TensorQuantizer(), "pre_quant_scale", x),
        "a",
    ),
    "`clip_value_min` must": (lambda x: Clip(x, 1.0, learn_min=True), "a"),
    "`float_module_list` must": (quant_modules.initialize, 5),
    "`custom_quant_modules` must": (
        lambda x: quant_modules.initialize(custom_quant_modules=x),
        [nn.Linear],
    ),
}


def collected() -> HistogramCalibrator:
    calibrator = HistogramCalibrator()
    calibrator.collect(X)
    return calibrator


@pytest.mark.parametrize("words", ARGUMENTS)
def test_what_an_argument_must_be_is_told(words: str) -> None:
    call, given = ARGUMENTS[words]
    with pytest.raises((TypeError, ValueError), match=f"^{words}"):
        call(given)


PATHS: dict[str, Callable[[Any], Any]] = {
    "save": lambda path: save(net(), path),
    "restore": lambda path: restore(net(), path),
    "saved_config": saved_config,
    "export_onnx": lambda path: export_onnx(quantized(), X, path),
}


@pytest.mark.parametrize("call", PATHS.values(), ids=PATHS)
def test_a_folder_is_no_file(call: Callable[[Any], Any], tmp_path: Path) -> None:
    with pytest.raises(
        IsADirectoryError, match=r"`path` must be a file; .* is a folder"
    ):
        call(tmp_path)


@pytest.mark.parametrize("call", PATHS.values(), ids=PATHS)
def test_a_number_is_no_path(call: Callable[[Any], Any]) -> None:
    with pytest.raises(TypeError, match="`path` must be a path; got int"):
        call(5)


def test_a_configuration_is_in_no_folder(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match="`config` must be a file"):
        read_config(tmp_path)


def test_the_folder_of_a_file_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match="`path` must lie in an existing folder"
    ):
        save(net(), tmp_path / "none" / "file")


@pytest.mark.parametrize("layer", [1, -2, "a", None])
def test_a_layer_of_a_cache_has_a_number(layer: Any) -> None:
    with pytest.raises(IndexError, match="`layer` must be the number of one of 1 lay"):
        KVCache([(SCALES, SCALES)])[layer]
