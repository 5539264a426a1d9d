"""What every command says to programs."""

import json
from pathlib import Path
from typing import Any

import pytest

import qcore as core


@pytest.fixture
def said(qcore):
    """A function that runs a command and reads its JSON."""

    def said(*arguments: object) -> Any:
        code, out, err = qcore(*arguments, "--json")
        assert (code, err) == (0, "")
        return json.loads(out)

    return said


def test_methods_are_told_with_what_they_read(said) -> None:
    found = {method["name"]: method for method in said("methods")}
    assert list(found) == list(core.methods())
    assert found["entropy"]["reads"] == ["Histogram"]
    assert found["entropy"]["options"] == ["start_bin", "stride", "num_levels"]


def test_backends_are_told_with_their_versions(said) -> None:
    found = said("backends")
    assert found["versions"]["numpy"]
    assert {"library", "kernel", "natives"} <= found["services"][0].keys()


def test_the_written_model_is_told_with_its_plan(
    said, model: Path, data: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.onnx"
    given = "quantize", model, "--data", data, "--recover", "none"
    found = said(*given, "-o", output)
    assert (found["output"], found["bytes"]) == (str(output), output.stat().st_size)
    assert found["samples"] == 8
    assert found["plan"] == said(*given, "--plan")
    assert "stem" in found["plan"]["compute"]


@pytest.mark.slow
def test_the_demo_tells_every_method(said) -> None:
    rows = {row["method"]: row for row in said("demo")}
    assert rows["float"]["sqnr"] is None
    assert rows["mse"]["accuracy"] > 0.9


def test_statistics_are_told(said, model: Path, data: Path, tmp_path: Path) -> None:
    output = tmp_path / "stats"
    found = said("calibrate", model, "--data", data, "-o", output)
    assert (found["tensors"], found["shards"]) == (10, None)
