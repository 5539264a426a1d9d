"""Each mistake is answered with one sentence and an exit code, and nothing is left."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

import qcore as core


@pytest.fixture
def refused(qcore, model: Path, data: Path, tmp_path: Path) -> Callable[..., str]:
    """A function that quantizes, sees it fail without a trace, gives the sentence."""

    def quantize(*options: object, code: int = 2, source: Path = model) -> str:
        before = {path: path.read_bytes() for path in tmp_path.iterdir()}
        given = options if "--data" in options else ("--data", data, *options)
        if "--statistics" in options:
            given = options
        output = [] if "-o" in options else ["-o", tmp_path / "out.onnx"]
        result = qcore("quantize", source, *given, *output)
        assert (result.code, result.out, result.err.count("\n")) == (code, "", 1)
        assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
        return result.err

    return quantize


def test_a_model_that_is_not_there(refused, tmp_path: Path) -> None:
    assert "there is no file" in refused(source=tmp_path / "missing.onnx")


@pytest.mark.parametrize("content", [b"", b"hello world", b"PK\x03\x04"])
def test_a_model_that_is_not_onnx(refused, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "text.onnx"
    path.write_bytes(content)
    assert "must be an ONNX" in refused(source=path)


def test_a_model_that_was_cut_off(refused, model: Path) -> None:
    model.write_bytes(model.read_bytes()[:20000])
    assert "must be an ONNX file" in refused()


def test_a_model_without_matrix_products(refused, relu: Path) -> None:
    assert "has nothing to quantize" in refused(source=relu, code=1)


def test_a_model_that_is_quantized_already(
    qcore, refused, model: Path, data: Path, tmp_path: Path
) -> None:
    once = tmp_path / "once.onnx"
    qcore("quantize", model, "--data", data, "-o", once)
    assert "must be a float model; QuantizeLinear" in refused(source=once)


def test_data_that_is_not_there(refused, tmp_path: Path) -> None:
    assert "there is no file" in refused("--data", tmp_path / "missing.npz")


def test_data_that_is_no_npz(refused, model: Path) -> None:
    assert "must be an .npz file" in refused("--data", model)


def test_data_that_is_damaged(refused, data: Path) -> None:
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 255
    data.write_bytes(content)
    assert "damaged" in refused()


def test_data_for_an_input_that_does_not_exist(refused, npz, digits) -> None:
    sentence = refused("--data", npz(images=digits))
    assert "no input 'images'" in sentence
    assert "did you mean 'image'?" in sentence


def test_data_of_another_shape(refused, npz, digits) -> None:
    sentence = refused("--data", npz(image=digits[:, :, :4]))
    assert "must be float32 [N, 1, 8, 8]; got float32 [1, 1, 4, 8]" in sentence


def test_data_of_another_type(refused, npz, digits) -> None:
    sentence = refused("--data", npz(image=digits.astype(np.uint8)))
    assert "'image' must be float32" in sentence


def test_nan_is_told_by_tensor_and_sample(refused, npz, digits) -> None:
    digits[5, 0, 3, 3] = np.nan
    data = npz(image=digits)
    assert "'image' holds NaN in sample 5" in refused("--data", data, code=1)


def test_no_samples(refused, npz, digits) -> None:
    assert "at least one sample" in refused("--data", npz(image=digits[:0]))


def test_statistics_that_are_not_there(refused, tmp_path: Path) -> None:
    sentence = refused("--statistics", tmp_path / "missing")
    assert "there is no such file" in sentence


def test_statistics_that_are_none(refused, model: Path) -> None:
    assert "must be a file of statistics" in refused("--statistics", model)


def test_statistics_that_hold_nan(refused, tmp_path: Path) -> None:
    path = tmp_path / "stats"
    seen = core.Histogram.of(np.array([np.nan, 1], np.float32))
    core.save(path, {"flatten.output": seen})
    sentence = refused("--statistics", path, "--op-types", "Gemm", code=1)
    assert "'flatten.output'" in sentence
    assert "1 NaN" in sentence


def test_statistics_of_another_model(refused, tmp_path: Path) -> None:
    path = tmp_path / "stats"
    core.save(path, {"other": core.Histogram.of(np.ones(2, np.float32))})
    sentence = refused("--statistics", path, code=1)
    assert "was not calibrated" in sentence


def test_bins_for_statistics_that_have_theirs(refused, tmp_path: Path) -> None:
    assert "--bins" in refused("--statistics", tmp_path / "stats", "--bins", 100)


@pytest.mark.parametrize("option", ["--method", "--weight-method"])
def test_a_method_that_is_unknown_is_answered_with_the_nearest(refused, option) -> None:
    sentence = refused(option, "mze")
    assert option in sentence
    assert "did you mean 'mse'?" in sentence


def test_a_method_that_reads_no_histogram(refused) -> None:
    assert "needs MovingRange" in refused("--method", "moving_average")


def test_an_option_of_another_method(refused) -> None:
    assert "no option 'percentile'" in refused("--percentile", 99)


def test_a_method_is_refused_before_the_model_is_read(refused, tmp_path: Path) -> None:
    missing = tmp_path / "missing.onnx"
    assert "did you mean" in refused("--method", "mze", source=missing)


def test_a_node_to_exclude_that_does_not_exist(refused) -> None:
    sentence = refused("--exclude", "stam")
    assert "did you mean 'stem'?" in sentence


def test_an_operator_that_never_becomes_int8(refused) -> None:
    assert "Softmax" in refused("--op-types", "Conv,Softmax")


def test_an_output_without_a_folder(refused, tmp_path: Path) -> None:
    assert "there is no folder" in refused("-o", tmp_path / "none" / "out.onnx")


def test_an_output_that_is_a_folder(refused, tmp_path_factory) -> None:
    assert "must be a file" in refused("-o", tmp_path_factory.mktemp("folder"))


def test_an_output_that_is_the_input(refused, model: Path) -> None:
    assert "would replace its own input" in refused("-o", model)


@pytest.mark.parametrize("command", ["quantize", "calibrate"])
def test_an_output_that_is_a_sample(
    qcore, model: Path, data: Path, tmp_path: Path, command: str
) -> None:
    sample = tmp_path / "samples" / "first" / "0.npz"
    sample.parent.mkdir(parents=True)
    sample.write_bytes(before := data.read_bytes())
    folder = tmp_path / "samples"
    code, out, err = qcore(command, model, "--data", folder, "-o", sample)
    assert (code, out, sample.read_bytes()) == (2, "", before)
    assert f"would replace its own input {str(sample)!r}" in err


@pytest.mark.parametrize("command", ["quantize", "calibrate"])
def test_an_output_that_holds_weights_of_the_input(
    qcore, model: Path, data: Path, command: str
) -> None:
    weights = model.with_name("weights.bin")
    options = {"location": weights.name, "size_threshold": 0}
    onnx.save(onnx.load(model), model, save_as_external_data=True, **options)
    before = weights.read_bytes()
    code, out, err = qcore(command, model, "--data", data, "-o", weights)
    assert (code, out, weights.read_bytes()) == (2, "", before)
    assert f"would replace its own input {str(weights)!r}" in err


def test_a_file_to_inspect_that_is_not_there(qcore, tmp_path: Path) -> None:
    code, out, err = qcore("inspect", tmp_path / "missing")
    assert (code, out) == (2, "")
    assert "there is no file" in err


def test_a_file_to_inspect_that_is_neither_model_nor_statistics(
    qcore, tmp_path: Path
) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("hello world")
    assert qcore("inspect", path).code == 2


def test_a_disk_without_room(qcore, model, data, tmp_path, monkeypatch) -> None:
    def fsync(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fsync)
    code, _, err = qcore("quantize", model, "--data", data, "-o", tmp_path / "out.onnx")
    assert code == 1
    assert "No space left on device" in err
    assert not list(tmp_path.glob("*out.onnx*"))
