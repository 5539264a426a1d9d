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


@pytest.fixture
def rounded(qcore, model: Path, data: Path, tmp_path: Path) -> Path:
    path = tmp_path / "rounded.onnx"
    options = ("--recover", "none", "-o", path, "-q")
    assert qcore("quantize", model, "--data", data, *options).code == 0
    return path


def test_several_models_stand_side_by_side(
    qcore, model: Path, quantized: Path, rounded: Path, data: Path
) -> None:
    command = ("compare", model, rounded, quantized, "--data", data)
    code, out, err = qcore(*command, "--limit", 0)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert "SQNR in dB" in lines[0]
    assert lines[2].split() == ["tensor", "rounded", "int8"]
    assert lines[3].split()[0] == "logits"
    rows = [line.split() for line in lines[5:] if line]
    worst = [min(map(float, row[1:])) for row in rows]
    assert worst == sorted(worst)
    found = json.loads(qcore(*command, "--json").out)
    assert [*found] == ["rounded", "int8"]
    for column, path in ((1, rounded), (2, quantized)):
        alone = qcore("compare", model, path, "--data", data, "--json").out
        own = found[path.stem]
        assert own == json.loads(alone)
        assert {row[0]: row[column] for row in rows} == {
            tensor["name"]: f"{tensor['sqnr']:.2f}" for tensor in own["tensors"]
        }


def test_what_one_model_lacks_is_told(
    qcore, model: Path, quantized: Path, rounded: Path, data: Path
) -> None:
    first = onnx.load(model).graph.node[0].output[0]
    renamed(quantized, first, "other")
    command = ("compare", model, rounded, quantized, "--data", data, "--limit", 0)
    out = qcore(*command).out
    (row,) = (line.split() for line in out.splitlines() if line.startswith(first))
    assert row[2] == "-"
    reason = "not compared with int8: the quantized model has no tensor of its name"
    assert f"{reason} (1):\n    {first}\n" in out


def test_files_of_equal_names_are_told_apart_by_their_folders(
    qcore, model: Path, quantized: Path, data: Path, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    other = tmp_path / "other" / quantized.name
    other.parent.mkdir()
    other.write_bytes(quantized.read_bytes())
    out = qcore("compare", model, quantized, other, "--data", data).out
    assert out.splitlines()[2].split() == ["tensor", str(quantized), str(other)]


def test_it_is_told_which_of_several_models_does_not_fit(
    qcore, model: Path, quantized: Path, relu: Path, data: Path
) -> None:
    code, out, err = qcore("compare", model, quantized, relu, "--data", data)
    assert (code, out) == (2, "")
    assert f"{relu.stem}: the models must have the same inputs" in err


def test_a_name_takes_one_line_and_moves_no_cursor(
    qcore, model: Path, quantized: Path, data: Path
) -> None:
    first = onnx.load(model).graph.node[0].output[0]
    renamed(model, first, "a\n\x1b[2Jb")
    odd = quantized.with_name("in\nt8.onnx")
    odd.write_bytes(quantized.read_bytes())
    renamed(odd, first, "a\n\x1b[2Jb")
    out = qcore("compare", model, odd, quantized, "--data", data, "--limit", 0).out
    lines = out.splitlines()
    assert lines[2].split() == ["tensor", "in\\nt8", "int8"]
    assert "a\\n\\x1b[2Jb" in [line.split()[0] for line in lines if line]
    assert "\x1b" not in out
