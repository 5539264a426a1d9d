"""What --plan tells, which is what is done."""

from pathlib import Path

import pytest

from tests.adapters.cli.grids import scales


def test_a_plan_is_told_and_nothing_is_written(
    qcore, model: Path, tmp_path: Path
) -> None:
    before = sorted(tmp_path.iterdir())
    own = ("--override", "image:range=0,1", "--exclude", "classifier")
    code, out, err = qcore("quantize", model, "--plan", *own)
    assert (code, err, sorted(tmp_path.iterdir())) == (0, "", before)
    lines = out.splitlines()
    assert lines[0] == "would compute in int8 (7):"
    assert "Gemm 'classifier' stays float: it is excluded." in lines
    assert lines[-1] == "All other operators stay float. Nothing was written."


@pytest.mark.parametrize("options", [[], ["--smooth"], ["--target", "tensorrt"]])
def test_what_is_foretold_is_done(
    qcore, model: Path, data: Path, tmp_path: Path, options
) -> None:
    output = tmp_path / "out.onnx"
    told = qcore("quantize", model, "--plan", *options)
    done = qcore("quantize", model, "--data", data, *options, "-o", output)
    assert told.code == done.code == 0
    starts = [line.split()[0] if line else "" for line in told.out.splitlines()]
    rows = starts[starts.index("activation") + 1 : starts.index("Weights")]
    assert set(rows) == scales(output).keys()


def test_blocks_are_foretold(qcore, model: Path) -> None:
    block = ("--activation", "float", "--weight", "int4", "--block", 32)
    code, out, _ = qcore("quantize", model, "--plan", *block)
    assert code == 0
    assert "Weights are stored in int4 by blocks of 32, ranges by output." in out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--activation", "int16"], "would compute in int16 (8):"),
        (
            ["--fake", "--activation", "mxfp8_e4m3"],
            "would compute in floats, rounded to mxfp8_e4m3 (8):",
        ),
        (["--budget", "9"], "With data, --budget gives those of them 16 bits"),
    ],
)
def test_a_plan_tells_which_numbers_it_is_of(qcore, model: Path, options, said) -> None:
    code, out, _ = qcore("quantize", model, "--plan", *options)
    assert code == 0
    assert said in out
