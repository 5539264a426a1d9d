"""Numbers that are asked for: --activation, --weight, --block, --fake, --target."""

from pathlib import Path

import onnx
import pytest

from tests.adapters.cli.grids import zero_points


@pytest.mark.parametrize("codes", ["int8", "uint8"])
def test_activations_come_in_the_codes_asked_for(
    qcore, model: Path, data: Path, tmp_path: Path, codes: str
) -> None:
    output = tmp_path / "out.onnx"
    qcore("quantize", model, "--data", data, "--activation", codes, "-o", output)
    assert {zero.dtype.name for zero in zero_points(output)} == {codes}


def test_symmetric_zero_points_are_0(
    qcore, model: Path, data: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.onnx"
    qcore("quantize", model, "--data", data, "--symmetric", "-o", output)
    assert {(z.dtype.name, z.item()) for z in zero_points(output)} == {("int8", 0)}


def test_a_model_is_made_for_the_runtime_that_is_asked_for(
    qcore, model: Path, data: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.onnx"
    said = qcore(
        "quantize", model, "--data", data, "--target", "tensorrt", "-o", output
    )
    assert (said.code, said.err) == (0, "")
    assert {(str(z.dtype), int(z)) for z in zero_points(output)} == {("int8", 0)}
    refused = ("--target", "tensorrt", "--activation", "uint8")
    code, out, err = qcore("quantize", model, "--data", data, *refused, "-o", output)
    assert (code, out) == (2, "")
    assert "`activation` of tensorrt must be int8, float8_e4m3fn or float" in err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--activation", "float"], "weights of 8 operators are stored in int8;"),
        (
            ["--activation", "float", "--weight", "int4", "--block", "32"],
            "weights of 3 operators are stored in int4;",
        ),
        (["--activation", "dynamic"], "Conv, Gemm and MatMul compute in int8;"),
    ],
)
def test_codes_that_need_no_data_are_written_without(
    qcore, model: Path, tmp_path: Path, options, said
) -> None:
    output = tmp_path / "out.onnx"
    code, out, err = qcore("quantize", model, *options, "-o", output)
    assert (code, err) == (0, "")
    assert said in out
    onnx.checker.check_model(output, full_check=True)


def test_float8_is_calibrated_and_written(
    qcore, model: Path, data: Path, tmp_path: Path
) -> None:
    statistics, output = tmp_path / "seen.safetensors", tmp_path / "out.onnx"
    wanted = ("--activation", "float8_e4m3fn")
    qcore("calibrate", model, "--data", data, *wanted, "-o", statistics)
    command = ("quantize", model, "--statistics", statistics, *wanted, "-o", output)
    code, out, err = qcore(*command)
    assert (code, err) == (0, "")
    assert "compute in float8_e4m3fn;" in out


def test_an_unknown_format_is_answered_with_the_nearest(qcore, model: Path) -> None:
    command = ("quantize", model, "--activation", "int88", "-o", "out.onnx")
    assert "got 'int88': did you mean 'int8'" in qcore(*command).err


def test_rounded_floats_are_written(
    qcore, model: Path, data: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.onnx"
    for options in (
        ["--activation", "int6", "--data", data],
        ["--activation", "mxfp4"],
    ):
        result = qcore("quantize", model, "--fake", *options, "-o", output)
        assert (result.code, result.err) == (0, "")
        assert f"compute in floats, rounded to {options[1]};" in result.out
        onnx.checker.check_model(output, full_check=True)


def test_a_block_that_nothing_has_room_for_leaves_nothing_to_do(
    qcore, model: Path, tmp_path: Path
) -> None:
    block = ("--activation", "float", "--weight", "int4", "--block", 256)
    code, _, err = qcore("quantize", model, *block, "-o", tmp_path / "out.onnx")
    assert code == 1
    assert "a channel has fewer weights than the 256 of a block" in err
