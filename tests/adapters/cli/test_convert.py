import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from qcore import Histogram, QuantSpec, qparams_from_amax, save
from qcore.adapters import records
from qcore.adapters.onnx import inspect

CACHE = "TRT-8601-EntropyCalibration2\nimage: 3c010a14\nconv/out: 3f800000\n"


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    path = tmp_path / "int8.cache"
    path.write_text(CACHE)
    return path


def test_a_record_is_converted(qcore, cache: Path, tmp_path: Path) -> None:
    target = tmp_path / "copy.cache"
    code, out, err = qcore("convert", cache, target)
    assert (code, err) == (0, "")
    assert (
        out
        == f"{target}: 2 tensors, a calibration cache of TensorRT; {len(CACHE)} B.\n"
    )
    assert target.read_text() == CACHE


def test_some_tensors_are_converted(qcore, cache: Path, tmp_path: Path) -> None:
    target = tmp_path / "copy.cache"
    assert qcore("convert", cache, target, "--tensors", "conv/*").code == 0
    assert target.read_text().splitlines()[1:] == ["conv/out: 3f800000"]


def test_a_pattern_that_matches_nothing_is_refused(qcore, cache, tmp_path) -> None:
    code, _, err = qcore("convert", cache, tmp_path / "b.cache", "--tensors", "x*")
    assert code == 2
    assert "--tensors 'x*' must match a tensor of" in err


def test_the_summary_is_json_on_demand(qcore, cache: Path, tmp_path: Path) -> None:
    target = tmp_path / "copy.cache"
    assert json.loads(qcore("convert", cache, target, "--json").out) == {
        "source": str(cache),
        "from": "tensorrt",
        "target": str(target),
        "to": "tensorrt",
        "tensors": ["image", "conv/out"],
        "bytes": len(CACHE),
    }


@pytest.fixture
def statistics(tmp_path: Path, digits: np.ndarray) -> Path:
    save(tmp_path / "stats.safetensors", {"image": Histogram.of(digits)})
    return tmp_path / "stats.safetensors"


def test_statistics_become_a_cache(qcore, statistics, digits, tmp_path) -> None:
    target = tmp_path / "int8.cache"
    arguments = ("--method", "percentile", "--percentile", "100", "--symmetric")
    assert qcore("convert", statistics, target, *arguments).code == 0
    scale = np.abs(digits).max() / np.float32(127)
    assert float(records.read(target)["image"].scale) == float(scale)


def test_the_scales_of_a_quantized_model_are_converted(
    qcore, model: Path, data: Path, tmp_path: Path
) -> None:
    int8, target = tmp_path / "int8.onnx", tmp_path / "a.encodings"
    assert qcore("quantize", model, "--data", data, "-o", int8, "-q").code == 0
    assert qcore("convert", int8, target).code == 0
    found, expected = records.read(target), inspect(int8).contents.grids
    scales = {g.tensor: g.scale[0] for g in expected if g.role == "activation"}
    assert {name: float(one.scale) for name, one in found.items()} == scales


def test_asymmetric_scales_are_made_symmetric_on_demand(qcore, tmp_path) -> None:
    source, target = tmp_path / "a.json", tmp_path / "a.cache"
    source.write_text('{"a": [-1.0, 3.0]}')
    code, _, err = qcore("convert", source, target)
    assert (code, target.exists()) == (2, False)
    said = "holds int8 alone; the tensor 'a' is uint8. --symmetric makes int8 of its"
    assert said in err
    assert qcore("convert", source, target, "--symmetric").code == 0
    scale = np.float32(3) / np.float32(127)
    assert float(records.read(target)["a"].scale) == float(scale)


def test_a_pipe_is_not_replaced(qcore, cache: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.cache")
    code, _, err = qcore("convert", cache, tmp_path / "pipe.cache")
    assert (code, (tmp_path / "pipe.cache").is_fifo()) == (2, True)
    assert "TARGET must be a file" in err


def test_a_pipe_is_not_read(qcore, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.cache")
    code, _, err = qcore("convert", tmp_path / "pipe.cache", tmp_path / "a.cache")
    assert code == 2
    assert "there is no such file" in err


def test_the_scales_beside_a_configuration_are_not_replaced(qcore, tmp_path) -> None:
    source = tmp_path / "a.scales.safetensors"
    one = qparams_from_amax(np.float32(1), QuantSpec())
    records.write(source, {"layer.input": one})
    before = source.read_bytes()
    code, _, err = qcore(
        "convert", source, tmp_path / "a.json", "--to", "compressed-tensors"
    )
    assert (code, source.read_bytes()) == (2, before)
    assert "would replace its own source" in err


def test_the_header_of_a_cache_is_chosen(qcore, cache: Path, tmp_path: Path) -> None:
    header = "TRT-100300-EntropyCalibration2"
    assert qcore("convert", cache, tmp_path / "b.cache", "--header", header).code == 0
    assert (tmp_path / "b.cache").read_text().splitlines()[0] == header


def test_nothing_is_said_if_quiet(qcore, cache: Path, tmp_path: Path) -> None:
    assert qcore("convert", cache, tmp_path / "b.cache", "-q") == (0, "", "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("missing", "b.cache"), "missing must be a record; there is no such file"),
        ((".", "b.cache"), "must be a file; '.' is a folder"),
        (("int8.cache", "b.txt"), "must tell what record to write, by one of .cache"),
        (("int8.cache", "int8.cache"), "TARGET would replace its own source"),
        (("int8.cache", "no/b.cache"), "`TARGET` must lie in an existing folder"),
        (("int8.cache", "."), "`TARGET` must be a file; '.' is a folder"),
        (("int8.cache", "b", "--to", "tensort"), "did you mean 'tensorrt'?"),
        (("int8.cache", "b.cache", "--from", "x"), "no record is of the kind 'x'"),
        (("broken.cache", "b.cache"), "line 2 must be a name and a float32"),
        (("int8.cache", "b.cache", "--method", "mse"), "--method and its options are"),
        (("int8.cache", "b.json", "--header", "x"), "--header is for a cache of Ten"),
        (("int8.cache", "b.cache", "--header", "x"), "`header` must be like 'TRT-"),
        (("int8.cache", "b.json", "--activation", "int9x"), "int9x"),
        (("int8.cache", "b.onnx"), "the kind 'onnx' is read alone, not written"),
        (("random", "b.cache"), "random must be a record of a known kind"),
    ],
)
def test_what_cannot_be_converted_is_answered_in_one_line(
    qcore, cache: Path, tmp_path: Path, monkeypatch, arguments, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("broken.cache").write_text("TRT-8601-EntropyCalibration2\nimage\n")
    Path("random").write_bytes(bytes(range(256)))
    code, out, err = qcore("convert", *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert said in err
    assert cache.read_text() == CACHE
    assert not Path("b.cache").exists()


BARE = """
import sys
sys.modules.update(dict.fromkeys(["onnx", "onnx_ir", "onnxruntime", "google", "torch"]))
from qcore.adapters.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("source", "said"),
    [("int8.cache", ""), ("model.onnx", "needs onnx, which is not installed")],
)
def test_records_need_no_onnx_but_models_do(cache: Path, source, said) -> None:
    cache.with_name("model.onnx").touch()
    run = [sys.executable, "-P", "-c", BARE, "convert", source, "a.json", "-q"]
    done = subprocess.run(
        run, check=False, capture_output=True, text=True, cwd=cache.parent
    )
    assert done.returncode == (2 if said else 0)
    assert said in done.stderr
    assert cache.with_name("a.json").exists() == (not said)
