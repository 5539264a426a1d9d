"""Bits that are spent where they matter most: --budget."""

from pathlib import Path

import onnx
import pytest

from qcore.adapters import onnx as adapter


def test_a_budget_gives_some_layers_16_bits(
    qcore, model: Path, data: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.onnx"
    given = ("--data", data, "--recover", "none", "-o", output)
    assert qcore("quantize", model, *given, "--budget", 9).code == 0
    statistics = adapter.calibrate(model, data)
    own = adapter.spend_bits(model, statistics, data, 9)
    assert 0 < len(own) < 16
    assert onnx.load(output) == adapter.quantize(model, statistics, overrides=own)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--budget", 20), "from 8 to 16 bits; got 20"),
        (("--budget", 9, "--smooth"), "--smooth must come without"),
    ],
)
def test_a_budget_that_cannot_be_kept_is_refused(
    qcore, model: Path, data: Path, tmp_path: Path, flags: tuple, said: str
) -> None:
    output = tmp_path / "out.onnx"
    code, _, err = qcore("quantize", model, "--data", data, *flags, "-o", output)
    assert code == 2
    assert said in err
    assert not output.exists()
