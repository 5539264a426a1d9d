"""Errors of rounding that are made up for: --recover, --checkpoint."""

from pathlib import Path

import onnx
import pytest

from qcore.adapters import onnx as adapter


@pytest.mark.parametrize("level", ["none", "bias", "gptq", "full"])
def test_rounding_is_made_up_for_with_the_data(
    qcore, model: Path, data: Path, tmp_path: Path, level: str
) -> None:
    output = tmp_path / "out.onnx"
    how = ("--recover", level, "--memory", 1)
    assert qcore("quantize", model, "--data", data, *how, "-o", output).code == 0
    wanted = adapter.quantize(model, data, recover=level)
    assert onnx.load(output) == wanted
    by_default = adapter.quantize(model, data)
    assert (by_default == wanted) == (level in {"gptq", "full"})


def test_recovery_without_data_is_refused(
    qcore, model: Path, data: Path, tmp_path: Path
) -> None:
    statistics, output = tmp_path / "s", tmp_path / "out.onnx"
    qcore("calibrate", model, "--data", data, "-o", statistics)
    given = ("--statistics", statistics, "--recover", "full")
    code, out, err = qcore("quantize", model, *given, "-o", output)
    assert (code, out) == (2, "")
    assert "must be 'none' without data" in err
    assert not output.exists()


@pytest.mark.parametrize(
    "numbers", [["--activation", "dynamic"], ["--fake", "--activation", "int6"]]
)
def test_recovery_that_cannot_be_is_refused_before_data_is_read(
    qcore, model: Path, tmp_path: Path, numbers: list[str]
) -> None:
    given = ("--data", tmp_path / "none.npz", "-o", tmp_path / "out.onnx")
    code, _, err = qcore("quantize", model, *given, "--recover", "bias", *numbers)
    assert code == 2
    assert "`recover` must be 'none' where scales of activations are found" in err


def test_a_checkpoint_changes_nothing_and_is_gone_at_the_end(
    qcore, model: Path, data: Path, tmp_path: Path, monkeypatch
) -> None:
    plain, resumed, folder = (tmp_path / name for name in ("a.onnx", "b.onnx", "done"))
    common = "quantize", model, "--data", data, "-q", "-o"
    assert qcore(*common, plain).code == 0
    with monkeypatch.context() as patch:
        patch.setattr(adapter, "save", interrupt)
        assert qcore(*common, resumed, "--checkpoint", folder).code == 130
    assert any(folder.iterdir())
    assert qcore(*common, resumed, "--checkpoint", folder).code == 0
    assert resumed.read_bytes() == plain.read_bytes()
    assert not folder.exists()


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_checkpoint_of_nothing_is_refused_before_data_is_read(
    qcore, model: Path, tmp_path: Path
) -> None:
    own = ("--recover", "none", "--checkpoint", tmp_path / "done")
    given = ("--data", tmp_path / "none.npz", "-o", tmp_path / "out.onnx")
    code, _, err = qcore("quantize", model, *given, *own)
    assert code == 2
    assert "`checkpoint` must come with data to recover with" in err
