import json
from pathlib import Path

import numpy as np
import pytest

import qcore as core


@pytest.fixture
def statistics(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    values = rng.normal(size=4000).astype(np.float32)
    values[:1000] = 0
    values[1000:1003] = [np.nan, np.inf, 100]
    rows = rng.normal(size=(3, 50)).astype(np.float32)
    path = tmp_path / "stats.safetensors"
    states = {
        "x": core.Histogram.of(values),
        "rows": core.Histogram.of(rows, granularity=core.PerChannel(0)),
        "none": core.Histogram.of(values[:0]),
        "range": core.Range.of(values[2000:]),
    }
    core.save(path, states)
    return path


def row(out: str, name: str) -> list[str]:
    (line,) = (line for line in out.splitlines() if line.startswith(f"{name} "))
    return line.split()


def test_a_float_model_is_told_by_what_would_become_int8(qcore, model: Path) -> None:
    code, out, err = qcore("inspect", model)
    assert (code, err) == (0, "")
    assert f"{model}: ONNX, opset 17; 45.1 kB." in out
    assert "input image: float32 [N, 1, 8, 8]" in out
    assert "output logits: float32 [N, 10]" in out
    assert "would compute in int8 (8):\n    stem, depthwise1" in out


def test_what_stays_float_is_told_with_the_reason(qcore, relu: Path) -> None:
    out = qcore("inspect", relu).out
    assert "would compute in int8: none" in out
    assert out.endswith("All others stay float: 1 Relu.\n")


def test_a_quantized_model_is_told_by_what_computes_on_codes(
    qcore, model: Path, data: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.onnx"
    qcore("quantize", model, "--data", data, "--exclude", "stem", "-o", output)
    out = qcore("inspect", output).out
    assert "quantized already: these compute on codes (7):\n    depthwise1" in out
    reason = "its input and weight are not in codes; onnxruntime could compute it"
    assert f"Conv 'stem' is float: {reason} on codes." in out


def test_statistics_are_told_tensor_by_tensor(qcore, statistics: Path) -> None:
    code, out, _ = qcore("inspect", statistics, "--method", "minmax")
    x = row(out, "x")
    assert code == 0
    assert (x[0], x[1], x[3], x[4]) == ("x", "Histogram", "100", "25.0%")
    assert x[5:8] == ["1", "1", "minmax"]


def test_a_method_may_be_chosen(qcore, tmp_path: Path) -> None:
    path = tmp_path / "stats.safetensors"
    values = np.arange(100, dtype=np.float32)
    core.save(path, {"x": core.Histogram.of(values)})
    options = ["--method", "percentile", "--percentile", "90", "--symmetric"]
    low, high = map(float, row(qcore("inspect", path, *options).out, "x")[8:10])
    assert -low == high
    assert 89 <= high <= 91


def test_each_kind_of_statistics_has_a_method_by_default(
    qcore, statistics: Path
) -> None:
    out = qcore("inspect", statistics).out
    assert "mse" in row(out, "x")
    assert "minmax" in row(out, "range")


def test_channels_share_a_line(qcore, statistics: Path) -> None:
    assert row(qcore("inspect", statistics).out, "rows")[1:4] == ["Histogram", "x", "3"]


def test_a_tensor_without_values_has_no_range(qcore, statistics: Path) -> None:
    assert row(qcore("inspect", statistics).out, "none")[-3:] == ["-", "-", "-"]


def test_a_method_that_cannot_read_the_statistics_is_refused(
    qcore, statistics: Path
) -> None:
    code, _, err = qcore("inspect", statistics, "--method", "moving_average")
    assert code == 2
    assert "'x': method 'moving_average' needs MovingRange; got Histogram." in err


def test_tensors_may_be_named_in_any_script(qcore, tmp_path: Path) -> None:
    path = tmp_path / "stats.safetensors"
    core.save(path, {"层": core.Histogram.of(np.ones(1, np.float32))})
    assert "层" in qcore("inspect", path).out


def test_any_option_of_a_method_can_be_given(qcore, tmp_path: Path) -> None:
    path = tmp_path / "stats.safetensors"
    x = np.random.default_rng(0).normal(size=4000).astype(np.float32)
    core.save(path, {"x": core.Histogram.of(x)})
    wide = qcore("inspect", path, "--method", "ifmr").out
    given = ("--method", "ifmr", "--option", "search-range=0.5,0.6")
    narrow = qcore("inspect", path, *given).out
    assert float(row(narrow, "x")[-2]) < 0.7 * float(row(wide, "x")[-2])


def test_an_unknown_option_of_a_method_is_named(qcore, statistics: Path) -> None:
    code, _, err = qcore(
        "inspect", statistics, "--method", "mse", "--option", "strid=2"
    )
    assert code > 0
    assert "has no option 'strid'" in err


def test_a_float_model_is_told_as_json_too(qcore, model: Path, relu: Path) -> None:
    found = json.loads(qcore("inspect", model, "--json").out)
    assert found["inputs"] == {"image": "float32 [N, 1, 8, 8]"}
    assert found["opsets"] == {"opset": 17}
    assert found["bytes"] == model.stat().st_size
    assert not found["is_quantized"]
    assert "stem" in found["contents"]["compute"]
    nothing = json.loads(qcore("inspect", relu, "--json").out)["contents"]
    assert (nothing["compute"], nothing["other_operators"]) == ([], {"Relu": 1})


def test_what_a_runtime_decides_by_itself_is_told_so(qcore, model: Path) -> None:
    out = qcore("inspect", model, "--target", "tensorrt").out
    assert "All others are left to tensorrt: " in out


def test_statistics_are_told_as_json_too(qcore, statistics: Path) -> None:
    out = qcore("inspect", statistics, "--json", "--method", "minmax").out
    found = {tensor["tensor"]: tensor for tensor in json.loads(out)}
    x = found["x"]
    assert (x["kind"], x["max"], x["zeros"], x["nan"], x["inf"]) == (
        *("Histogram", 100, 1000 / 3998, 1, 1),
    )
    assert (found["rows"]["channels"], x["channels"]) == (3, None)
    assert (found["none"]["min"], found["none"]["lo"]) == (None, None)


def test_as_many_statistics_are_shown_as_asked_for(qcore, statistics: Path) -> None:
    out = qcore("inspect", statistics, "--limit", 1).out
    assert out.endswith("\n3 more (--limit 0 shows all).\n")


def test_a_plan_is_told_for_the_runtime_that_is_asked_for(qcore, model: Path) -> None:
    told = [
        qcore("inspect", model, "--target", name)
        for name in ("onnxruntime", "tensorrt")
    ]
    assert all(result.code == 0 for result in told)
    assert told[0].out != told[1].out
