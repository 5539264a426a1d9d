import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from qcore.adapters.demo.onnxruntime import run


@pytest.fixture
def quantized(qcore, model: Path, data: Path, tmp_path: Path) -> Path:
    path = tmp_path / "int8.onnx"
    assert qcore("quantize", model, "--data", data, "-o", path, "-q").code == 0
    return path


def renamed(model: Path, old: str, new: str) -> None:
    """Give a tensor of a model in a file another name."""
    proto = onnx.load(model)
    for node in proto.graph.node:
        for names in (node.input, node.output):
            names[:] = [new if name == old else name for name in names]
    onnx.save(proto, model)


def test_the_outputs_come_first_and_then_the_worst(
    qcore, model: Path, quantized: Path, data: Path
) -> None:
    code, out, err = qcore("compare", model, quantized, "--data", data)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith("Over 8 samples, operators as written;")
    assert lines[2].split() == ["tensor", "operator", "SQNR", "dB", "cosine"]
    assert lines[3].split()[:2] == ["logits", "Gemm"]
    assert lines[4] == ""
    ratios = [float(line.split()[2]) for line in lines[5:10]]
    assert ratios == sorted(ratios)


def test_json_holds_the_figures_that_numpy_computes(
    qcore, model: Path, quantized: Path, data: Path, digits: np.ndarray
) -> None:
    command = ("compare", model, quantized, "--data", data, "--deployed", "--json")
    found = json.loads(qcore(*command).out)
    wanted, got = (np.float64(run(path, digits)) for path in (model, quantized))
    (logits,) = found["outputs"]
    ratio = np.sum(wanted**2) / np.sum((wanted - got) ** 2)
    # The command runs the kernels of this CPU, which may round another way.
    assert logits["sqnr"] == pytest.approx(10 * np.log10(ratio), abs=1)
    assert (found["samples"], found["deployed"]) == (8, True)
    assert {"name", "op_type", "counterpart", "cosine", "equal"} < set(logits)
    assert len(found["tensors"]) > 12


def test_json_has_no_infinite_numbers(qcore, model: Path, data: Path) -> None:
    out = qcore("compare", model, model, "--data", data, "--json").out
    assert json.loads(out)["outputs"][0]["sqnr"] == "inf"
    assert "Infinity" not in out


def test_as_many_tensors_are_shown_as_asked_for(
    qcore, model: Path, quantized: Path, data: Path
) -> None:
    command = ("compare", model, quantized, "--data", data)
    few = qcore(*command, "--limit", 2).out.splitlines()
    every = qcore(*command, "--limit", 0).out.splitlines()
    hidden = len(every) - len(few) + 1
    assert f"{hidden} more are closer (--limit 0 shows all)." in few


@pytest.mark.parametrize("columns", [72, 80])
def test_the_table_fits_the_terminal(
    qcore, model: Path, data: Path, monkeypatch, columns: int
) -> None:
    (name,) = [value.name for value in onnx.load(model).graph.output]
    renamed(model, onnx.load(model).graph.node[0].output[0], "层" * 100)
    monkeypatch.setenv("COLUMNS", str(columns))
    out = qcore("compare", model, model, "--data", data, "--limit", 0).out
    assert max(map(len, out.splitlines())) == columns
    assert f"\n{name} " in out
    assert "层…层" in out


def test_into_a_file_names_go_whole(
    qcore, model: Path, data: Path, monkeypatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)  # which processes of pytest have
    renamed(model, onnx.load(model).graph.node[0].output[0], "n" * 300)
    out = qcore("compare", model, model, "--data", data, "--limit", 0).out
    assert "n" * 300 in out


def test_what_is_not_compared_is_listed(
    qcore, model: Path, quantized: Path, data: Path
) -> None:
    first = onnx.load(model).graph.node[0].output[0]
    renamed(quantized, first, "other")
    out = qcore("compare", model, quantized, "--data", data).out
    reason = "not compared: the quantized model has no tensor of its name"
    assert f"{reason} (1):\n    {first}\n" in out


def test_models_of_other_inputs_are_refused(
    qcore, model: Path, relu: Path, data: Path
) -> None:
    code, out, err = qcore("compare", model, relu, "--data", data)
    assert (code, out) == (2, "")
    assert "the models must have the same inputs; got 'image' and 'x'." in err
