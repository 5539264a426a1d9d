"""What all kinds of records have in common."""

from pathlib import Path

import numpy as np
import pytest

from qcore import (
    FileFormatError,
    Histogram,
    QParams,
    QuantError,
    QuantSpec,
    calibrate,
    save,
)
from qcore.adapters.records import read, write
from qcore.adapters.records.kinds import KINDS, told
from tests.adapters.records.cases import (
    BLOCKS,
    COLUMNS,
    FLOAT8,
    INT8,
    OTHERS,
    PER_CHANNEL,
    PER_TENSOR,
    assert_same,
    decide,
    of_range,
)

EXACT = {
    "tensorrt": INT8,
    "onnxruntime-cache": INT8,
    "onnxruntime-flatbuffers": INT8,
    "json": PER_TENSOR | PER_CHANNEL | COLUMNS | BLOCKS | FLOAT8 | OTHERS,
    "safetensors": PER_TENSOR | PER_CHANNEL | COLUMNS | BLOCKS | FLOAT8 | OTHERS,
}
"""What comes back as it was."""

SPEC = QuantSpec("int8")
WRITTEN = [kind for kind in KINDS if kind not in {"onnx", "statistics"}]


@pytest.mark.parametrize("kind", EXACT)
def test_what_is_written_comes_back(tmp_path: Path, kind: str) -> None:
    tensors = decide(EXACT[kind])
    write(tmp_path / "record", tensors, kind=kind)
    assert_same(read(tmp_path / "record", kind=kind), tensors)


@pytest.mark.parametrize("kind", WRITTEN)
def test_a_kind_is_told_by_what_is_in_a_file(tmp_path: Path, kind: str) -> None:
    write(tmp_path / "record", {"layer.input": of_range(-1, 1, SPEC)}, kind=kind)
    # Versions of AIMET's are all of one kind to a reader.
    assert told(tmp_path / "record").name == kind.partition("-0")[0].partition("-1")[0]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("calibration.cache", "tensorrt"),
        ("model.encodings", "aimet"),
        ("scales.JSON", "json"),
        ("scales.safetensors", "safetensors"),
        ("calibration.flatbuffers", "onnxruntime-flatbuffers"),
    ],
)
def test_a_kind_is_meant_by_the_name_of_a_file(tmp_path, name, kind) -> None:
    write(tmp_path / name, decide(INT8))
    assert told(tmp_path / name).name == kind


@pytest.mark.parametrize("kind", WRITTEN)
def test_no_tensors_are_a_record(tmp_path: Path, kind: str) -> None:
    write(tmp_path / "record", {}, kind=kind)
    assert read(tmp_path / "record", kind=kind) == {}


@pytest.mark.parametrize("kind", WRITTEN)
def test_arrays_of_other_libraries_are_written(tmp_path: Path, kind: str) -> None:
    torch = pytest.importorskip("torch", reason="needs torch")
    one = of_range(-1, 1, SPEC)
    scale, zeros = (torch.asarray(np.array(x)) for x in (one.scale, one.zero_point))
    write(tmp_path / "record", {"layer.input": QParams(scale, zeros, SPEC)}, kind=kind)
    write(tmp_path / "same", {"layer.input": one}, kind=kind)
    assert (tmp_path / "record").read_bytes() == (tmp_path / "same").read_bytes()


@pytest.mark.parametrize("kind", WRITTEN)
@pytest.mark.parametrize("scale", [0.0, -1.0, np.nan, np.inf, 1e-40])
def test_a_scale_that_makes_no_codes_is_not_written(tmp_path, kind, scale) -> None:
    (tmp_path / "record").write_text("old")
    zero = np.zeros((), np.int32)
    bad = QParams(np.asarray(scale, np.float32), zero, QuantSpec())
    with pytest.raises(QuantError, match="the tensor 'bad'"):
        write(tmp_path / "record", {"bad": bad}, kind=kind)
    assert (tmp_path / "record").read_text() == "old"


def test_a_name_without_a_known_end_is_refused(tmp_path: Path) -> None:
    with pytest.raises(QuantError, match=r"by one of \.cache, .*, or its kind must"):
        write(tmp_path / "record", {})


def test_a_model_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(QuantError, match="the kind 'onnx' is read alone"):
        write(tmp_path / "a.onnx", {})


@pytest.mark.parametrize("content", [b"", b"\0" * 9, b"[]", b"{}", b"\xff" * 100])
def test_a_file_of_no_kind_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "record").write_bytes(content)
    with pytest.raises(FileFormatError, match="must be a record of a known kind"):
        read(tmp_path / "record")


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_is_not_there_is_told(tmp_path: Path, kind: str) -> None:
    if kind == "onnx":
        pytest.importorskip("onnx", reason="needs ONNX")
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        read(tmp_path / "record", kind=kind)


@pytest.mark.parametrize("kind", [kind for kind in WRITTEN if kind != "safetensors"])
def test_a_file_larger_than_any_record_is_not_held(tmp_path, kind, monkeypatch) -> None:
    monkeypatch.setattr("qcore.adapters.records.contents.LARGEST", 3)
    (tmp_path / "record").write_bytes(b"TRT-")
    with pytest.raises(FileFormatError, match="it is larger than 3 bytes"):
        read(tmp_path / "record", kind=kind)


def test_codes_of_another_spec_reach_the_same_range(tmp_path: Path) -> None:
    tensors = {"a": of_range(-1, 3, QuantSpec("uint8", symmetric=False))}
    write(tmp_path / "a.json", tensors)
    found = read(tmp_path / "a.json", spec=QuantSpec("int8"))["a"]
    assert found.spec == QuantSpec("int8")
    # The grid of uint8 begins and ends on codes, half a step from the range at most.
    assert abs(float(found.scale) * 127 - 3) <= 4 / 255 / 2


def test_scales_per_channel_have_no_range_per_tensor(tmp_path: Path) -> None:
    write(tmp_path / "a.json", decide(PER_CHANNEL))
    with pytest.raises(QuantError, match="the tensor 'rows' has 6"):
        read(tmp_path / "a.json", spec=QuantSpec("int8"))


def test_statistics_are_read_as_what_a_method_makes_of_them(tmp_path: Path) -> None:
    x = np.random.default_rng(1).normal(size=1000).astype(np.float32)
    state = Histogram.of(x)
    save(tmp_path / "statistics", {"x": state})
    assert told(tmp_path / "statistics").name == "statistics"
    spec = QuantSpec("int8")
    found = read(tmp_path / "statistics", spec=spec, method="entropy")
    assert_same(found, {"x": calibrate(state, spec, "entropy")})


def test_statistics_without_data_name_the_tensor(tmp_path: Path) -> None:
    empty = Histogram.of(np.zeros(0, np.float32))
    save(tmp_path / "statistics", {"x": empty})
    with pytest.raises(QuantError, match="the tensor 'x' of"):
        read(tmp_path / "statistics")
