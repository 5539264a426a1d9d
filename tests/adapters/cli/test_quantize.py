from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from qcore.adapters.demo.onnxruntime import run


@pytest.mark.parametrize("method", ["mse", "minmax", "entropy", "percentile"])
def test_a_model_of_any_method_answers_almost_as_the_float_model(
    qcore, model: Path, data: Path, digits: np.ndarray, tmp_path: Path, method: str
) -> None:
    output = tmp_path / "out.onnx"
    assert qcore(
        "quantize", model, "--data", data, "--method", method, "-o", output
    ) == (
        0,
        f"{output}: 8 of 8 Conv, Gemm and MatMul compute in int8; 31.3 kB.\n"
        "Calibrated on 8 samples; 100 to 500 make ranges that hold for others, too.\n",
        "",
    )
    wanted, got = run(model, digits), run(output, digits)
    assert np.sum((wanted - got) ** 2) < 0.03 * np.sum(wanted**2)


def test_saved_statistics_give_the_same_model_as_the_data(
    qcore, model: Path, data: Path, tmp_path: Path
) -> None:
    statistics, one, two = (tmp_path / name for name in ("s", "1.onnx", "2.onnx"))
    qcore("calibrate", model, "--data", data, "-o", statistics)
    qcore("quantize", model, "--data", data, "--recover", "none", "-o", one)
    qcore("quantize", model, "--statistics", statistics, "-o", two)
    assert one.read_bytes() == two.read_bytes()


def test_quiet_says_nothing(qcore, model: Path, data: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.onnx"
    assert qcore("quantize", model, "--data", data, "-o", output, "-q") == (0, "", "")
    assert output.exists()


def test_the_option_of_a_method_reaches_it(
    qcore, model: Path, data: Path, tmp_path: Path
) -> None:
    command = ["quantize", model, "--data", data, "--method", "percentile"]
    one, two = tmp_path / "1.onnx", tmp_path / "2.onnx"
    qcore(*command, "--percentile", "100", "-o", one)
    qcore(*command, "--percentile", "0.5,99.5", "-o", two)
    assert one.read_bytes() != two.read_bytes()


@pytest.mark.slow
def test_the_method_for_weights_reaches_them(
    qcore, model: Path, data: Path, tmp_path: Path
) -> None:
    one, two = tmp_path / "1.onnx", tmp_path / "2.onnx"
    qcore("quantize", model, "--data", data, "-o", one)
    qcore("quantize", model, "--data", data, "--weight-method", "mse", "-o", two)
    assert one.read_bytes() != two.read_bytes()


def test_what_is_excluded_is_listed_with_the_reason(
    qcore, model: Path, data: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.onnx"
    command = ["quantize", model, "--data", data, "--exclude", "stem", "-o", output]
    first, _, third = qcore(*command).out.splitlines()
    assert "7 of 8" in first
    assert third == "Conv 'stem' stays float: it is excluded."


def test_operators_that_were_not_chosen_stay_float(
    qcore, model: Path, data: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.onnx"
    command = ["quantize", model, "--data", data, "--op-types", "Gemm", "-o", output]
    assert "1 of 8" in qcore(*command).out
    weights = [t for t in onnx.load(output).graph.initializer if len(t.dims) == 4]
    assert {t.data_type for t in weights} == {TensorProto.FLOAT}


def test_an_earlier_output_is_replaced(
    qcore, model: Path, data: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.onnx"
    output.write_text("old")
    assert qcore("quantize", model, "--data", data, "-o", output).code == 0
    assert output.stat().st_size > 1000


def test_a_sample_may_have_a_key_of_its_own(
    qcore, model: Path, npz: Callable[..., Path], digits: np.ndarray, tmp_path: Path
) -> None:
    data = npz(**{"image:0": digits[:1], "image:1": digits[1:4]})
    output = tmp_path / "out.onnx"
    assert qcore("quantize", model, "--data", data, "-o", output).code == 0


def test_samples_may_come_from_a_folder_or_from_own_code(
    qcore, model: Path, data: Path, tmp_path: Path, monkeypatch
) -> None:
    outputs = [tmp_path / f"{name}.onnx" for name in ("file", "folder", "code")]
    folder = tmp_path / "folder"
    folder.mkdir()
    (name,) = [value.name for value in onnx.load(model).graph.input]
    with np.load(data) as arrays:
        for i, row in enumerate(arrays[name]):
            np.save(folder / f"{i:03}.npy", row)
    (tmp_path / "own_samples.py").write_text(
        "import numpy\n"
        f"def give():\n    return list(numpy.load({str(data)!r})[{name!r}][:, None])\n"
    )
    monkeypatch.chdir(tmp_path)
    ways = (("--data", data), ("--data", folder), ("--reader", "own_samples:give"))
    for way, output in zip(ways, outputs, strict=True):
        assert qcore("quantize", model, *way, "-o", output, "-q") == (0, "", "")
    assert len({output.read_bytes() for output in outputs}) == 1
