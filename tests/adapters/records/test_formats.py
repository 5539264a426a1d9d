"""What all kinds of records have in common."""

from pathlib import Path

import numpy as np
import pytest

from qcore import FileFormatError, QParams, QuantError, QuantSpec
from qcore.adapters.records import read, write
from qcore.adapters.records.formats import FORMATS, told
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
)

EXACT = {
    "tensorrt": INT8,
    "onnxruntime-cache": INT8,
    "onnxruntime-flatbuffers": INT8,
    "json": PER_TENSOR | PER_CHANNEL | COLUMNS | BLOCKS | FLOAT8 | OTHERS,
    "safetensors": PER_TENSOR | PER_CHANNEL | COLUMNS | BLOCKS | FLOAT8 | OTHERS,
}
"""What comes back as it was."""


@pytest.mark.parametrize("kind", EXACT)
def test_what_is_written_comes_back(tmp_path: Path, kind: str) -> None:
    tensors = decide(EXACT[kind])
    write(tmp_path / "record", tensors, format=kind)
    assert_same(read(tmp_path / "record", format=kind), tensors)


@pytest.mark.parametrize("kind", [kind for kind in FORMATS if kind != "onnx"])
def test_a_kind_is_told_by_what_is_in_a_file(tmp_path: Path, kind: str) -> None:
    write(tmp_path / "record", decide(INT8), format=kind)
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


@pytest.mark.parametrize("kind", [kind for kind in FORMATS if kind != "onnx"])
def test_no_tensors_are_a_record(tmp_path: Path, kind: str) -> None:
    write(tmp_path / "record", {}, format=kind)
    assert read(tmp_path / "record", format=kind) == {}


@pytest.mark.parametrize("kind", [kind for kind in FORMATS if kind != "onnx"])
def test_arrays_of_other_libraries_are_written(tmp_path: Path, kind: str) -> None:
    torch = pytest.importorskip("torch", reason="needs torch")
    (one,) = decide({"a": INT8["image"]}).values()
    scale, zeros = (torch.asarray(np.array(x)) for x in (one.scale, one.zero_point))
    write(tmp_path / "record", {"a": QParams(scale, zeros, one.spec)}, format=kind)
    write(tmp_path / "same", {"a": one}, format=kind)
    assert (tmp_path / "record").read_bytes() == (tmp_path / "same").read_bytes()


@pytest.mark.parametrize("kind", [kind for kind in FORMATS if kind != "onnx"])
@pytest.mark.parametrize("scale", [0.0, -1.0, np.nan, np.inf, 1e-40])
def test_a_scale_that_makes_no_codes_is_not_written(tmp_path, kind, scale) -> None:
    (tmp_path / "record").write_text("old")
    zero = np.zeros((), np.int32)
    bad = QParams(np.asarray(scale, np.float32), zero, QuantSpec())
    with pytest.raises(QuantError, match="the tensor 'bad'"):
        write(tmp_path / "record", {"bad": bad}, format=kind)
    assert (tmp_path / "record").read_text() == "old"


def test_a_name_without_a_known_end_is_refused(tmp_path: Path) -> None:
    with pytest.raises(QuantError, match=r"by one of \.cache, .*, or its kind must"):
        write(tmp_path / "record", {})


def test_a_model_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(QuantError, match="an ONNX model is read alone"):
        write(tmp_path / "a.onnx", {})


@pytest.mark.parametrize("content", [b"", b"\0" * 9, b"[]", b"{}", b"\xff" * 100])
def test_a_file_of_no_kind_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "record").write_bytes(content)
    with pytest.raises(FileFormatError, match="must be a record of a known kind"):
        read(tmp_path / "record")


@pytest.mark.parametrize("kind", FORMATS)
def test_a_file_that_is_not_there_is_told(tmp_path: Path, kind: str) -> None:
    if kind == "onnx":
        pytest.importorskip("onnx", reason="needs ONNX")
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        read(tmp_path / "record", format=kind)


@pytest.mark.parametrize("kind", [kind for kind in FORMATS if "safe" not in kind])
def test_a_file_larger_than_any_record_is_not_held(tmp_path, kind, monkeypatch) -> None:
    if kind == "onnx":
        pytest.skip("models may be of any size")
    monkeypatch.setattr("qcore.adapters.records.contents.LARGEST", 3)
    (tmp_path / "record").write_bytes(b"TRT-")
    with pytest.raises(FileFormatError, match="it is larger than 3 bytes"):
        read(tmp_path / "record", format=kind)
