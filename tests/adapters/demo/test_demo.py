import re
from pathlib import Path

import numpy as np
import onnx
import pytest

import qcore as core
from qcore.adapters.cli import main
from qcore.adapters.demo import collect, compare, load_digits
from qcore.adapters.demo.onnxruntime import run

OTHERS = "constant", "isotone", "moving_average"  # which read no histograms
METHODS = [name for name in core.methods() if name not in OTHERS]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def rows(folder: Path):
    digits = load_digits()
    statistics, _ = collect(digits)
    return {row.method: row for row in compare(digits, statistics, folder)}


def test_every_method_that_reads_histograms_is_compared_with_float(rows) -> None:
    assert list(rows) == ["float", *METHODS]


@pytest.mark.parametrize("method", ["float", *METHODS])
def test_every_model_tells_at_least_98_of_100_digits(rows, method: str) -> None:
    assert rows[method].accuracy >= 0.98


@pytest.mark.parametrize("method", METHODS)
def test_every_int8_model_agrees_with_float(rows, method: str) -> None:
    assert rows[method].agreement >= 0.99
    assert rows[method].sqnr > 20


@pytest.mark.parametrize("method", METHODS)
def test_scores_are_those_of_the_model_in_the_folder(
    rows, folder: Path, method: str
) -> None:
    digits = load_digits()
    path = folder / f"digits.{method}.onnx"
    told = run(path, digits.images).argmax(axis=1)
    assert rows[method].accuracy == np.mean(told == digits.labels)
    assert rows[method].size == path.stat().st_size


@pytest.mark.parametrize("method", METHODS)
def test_every_int8_model_is_valid_and_smaller(rows, folder: Path, method: str) -> None:
    onnx.checker.check_model(folder / f"digits.{method}.onnx", full_check=True)
    assert rows[method].size < rows["float"].size


def test_scores_are_the_same_every_time(rows, tmp_path: Path) -> None:
    digits = load_digits()
    statistics, _ = collect(digits)
    again = {row.method: row.sqnr for row in compare(digits, statistics, tmp_path)}
    assert again == {row.method: row.sqnr for row in rows.values()}


def test_calibration_digits_are_not_among_those_scored() -> None:
    digits = load_digits()
    seen = {image.tobytes() for image in digits.calibration}
    assert seen.isdisjoint(image.tobytes() for image in digits.images)


def test_the_command_prints_a_line_for_each_model(capsys, tmp_path: Path) -> None:
    out = tmp_path / "models"
    assert main(["demo", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    for method in ["float", *METHODS]:
        assert re.search(rf"^{method} +\d\d\.\d% +\d+\.\d%", printed, re.MULTILINE)
    assert "collected once from 128 digits" in printed
    assert {path.name for path in out.iterdir()} == {
        f"digits.{m}.onnx" for m in METHODS
    }


def test_a_folder_that_is_a_file_is_refused(capsys, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    assert main(["demo", "--out", str(path)]) == 2
    assert str(path) in capsys.readouterr().err
