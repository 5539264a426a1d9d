"""Outliers of activations that weights take: --smooth."""

from pathlib import Path

import onnx
import pytest

from qcore.adapters import onnx as adapter


@pytest.mark.parametrize(("flags", "amount"), [((), True), ((0.5,), 0.5)])
def test_inputs_are_smoothed_if_asked(
    qcore, model: Path, data: Path, tmp_path: Path, flags: tuple, amount: object
) -> None:
    output = tmp_path / "out.onnx"
    how = ("--recover", "none", "--smooth", *flags)
    said = qcore("quantize", model, "--data", data, "-o", output, *how)
    assert said.code == 0
    assert "Calibrated on 8 samples" in said.out
    wanted = adapter.quantize(model, data, smooth=amount, recover="none")
    assert onnx.load(output) == wanted


def test_smoothing_goes_without_a_choice_of_methods(
    qcore, model: Path, data: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.onnx"
    given = ("--data", data, "--smooth", "--bins", 512, "-o", output)
    code, out, err = qcore("quantize", model, *given)
    assert (code, out) == (2, "")
    assert "--smooth must come without --evaluate, --bins or --budget" in err


def test_what_does_not_go_together_is_told_before_the_model_is_scored(
    qcore, model: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "scoring_never.py").write_text("def score(model):\n    raise OSError\n")
    monkeypatch.syspath_prepend(tmp_path)
    given = ("--data", data, "-o", tmp_path / "out.onnx", "--smooth")
    _, _, err = qcore("quantize", model, *given, "--evaluate", "scoring_never:score")
    assert "--smooth must come without" in err
