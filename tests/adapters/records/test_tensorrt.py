import struct
from pathlib import Path

import numpy as np
import pytest

from qcore import (
    FileFormatError,
    IntFormat,
    PerChannel,
    QParams,
    QuantError,
    QuantSpec,
    qparams_from_amax,
    qparams_from_range,
)
from qcore.adapters.records import read, tensorrt, write

HEADER = "TRT-8601-EntropyCalibration2"


def of_amax(amax: float, spec: QuantSpec | None = None) -> QParams:
    return qparams_from_amax(np.asarray(amax, np.float32), spec or QuantSpec("int8"))


def as_modelopt_reads(path: Path) -> dict[str, float]:
    """What modelopt.onnx.quantization.calib_utils makes of a cache (0.47.0)."""
    found = {}
    for line in path.read_text().splitlines()[1:]:
        name, digits = line.split(": ")
        (found[name],) = struct.unpack("!f", bytes.fromhex(digits))
    return found


def as_onnxruntime_reads(path: Path) -> dict[str, float]:
    """What ReadDynamicRange of onnxruntime's TensorRT provider makes of a cache."""
    header, *lines = path.read_text().splitlines()
    assert "TRT-" in header.split(":")[0]
    parts = (line.split(":") for line in lines)
    bits = {name: np.uint32(int(digits, 16)) for name, digits in parts}
    return {
        name: float(b.view(np.float32) * np.float32(127)) for name, b in bits.items()
    }


@pytest.mark.parametrize("reader", [as_modelopt_reads, as_onnxruntime_reads])
def test_others_read_the_same_scales(tmp_path: Path, reader) -> None:
    path = tmp_path / "calibration.cache"
    write(path, {"image": of_amax(2.5), "conv/out": of_amax(1e-3)})
    factor = 127 if reader is as_onnxruntime_reads else 1
    expected = {
        "image": np.float32(2.5) / np.float32(127) * np.float32(factor),
        "conv/out": np.float32(1e-3) / np.float32(127) * np.float32(factor),
    }
    assert reader(path) == {name: float(value) for name, value in expected.items()}


def test_a_cache_as_tensorrt_writes_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "int8.cache"
    # 0x3c010a14 and 0x3f800000 are the float32 0.0078759384 and 1.
    path.write_text(
        f"{HEADER}\ninput:0: 3c010a14\n(Unnamed Layer* 2) [Conv]_output: 3f800000\n"
    )
    found = read(path)
    assert list(found) == ["input:0", "(Unnamed Layer* 2) [Conv]_output"]
    assert [float(q.scale) for q in found.values()] == [
        float(np.uint32(0x3C010A14).view(np.float32)),
        1.0,
    ]
    assert {(q.spec, int(q.zero_point)) for q in found.values()} == {
        (QuantSpec("int8"), 0)
    }


def test_a_cache_is_written_back_byte_for_byte(tmp_path: Path) -> None:
    path = tmp_path / "int8.cache"
    path.write_text(f"{HEADER}\na: 3c010a14\nb b: 00800000\n")
    write(tmp_path / "copy.cache", read(path))
    assert (tmp_path / "copy.cache").read_bytes() == path.read_bytes()


def test_the_header_may_be_that_of_another_version(tmp_path: Path) -> None:
    path = tmp_path / "a.cache"
    write(path, {}, header="TRT-100300-MinMaxCalibration")
    assert path.read_text() == "TRT-100300-MinMaxCalibration\n"


def test_a_tensor_that_was_zero_has_the_scale_one(tmp_path: Path) -> None:
    path = tmp_path / "a.cache"
    path.write_text(f"{HEADER}\nzero: 0\n")
    assert float(read(path)["zero"].scale) == 1.0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1 must be like TRT-8601-EntropyCalibration2"),
        ("a: 3c010a14\n", "line 1 must be like TRT-8601-EntropyCalibration2"),
        (f"{HEADER}\na\n", "line 2 must be a name and a float32 in hexadecimal"),
        (f"{HEADER}\n\n: 3c010a14\n", "line 3 must be a name and a float32"),
        (f"{HEADER}\na: 0x3c010a14\n", "line 2 must be a name and a float32"),
        (f"{HEADER}\na: 3c010a140\n", "line 2 must be a name and a float32"),
        (f"{HEADER}\na: 7fc00000\n", "line 2: a scale must be a positive normal"),
        (f"{HEADER}\na: 7f800000\n", "line 2: a scale must be a positive normal"),
        (f"{HEADER}\na: bf800000\n", "line 2: a scale must be a positive normal"),
        (f"{HEADER}\na: 00000001\n", "line 2: a scale must be a positive normal"),
        (f"{HEADER}\na: 3c010a14\na: 3c010a14\n", "line 3 has 'a' once more"),
    ],
)
def test_what_is_no_cache_is_refused_with_its_line(tmp_path, text, said) -> None:
    path = tmp_path / "a.cache"
    path.write_text(text)
    with pytest.raises(FileFormatError, match=said):
        tensorrt.read(path)


def test_bytes_that_are_no_text_are_refused_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "a.cache"
    path.write_bytes(HEADER.encode() + b"\na: 3c010a14\n\xff: 3c010a14\n")
    with pytest.raises(FileFormatError, match="line 3 is not UTF-8"):
        read(path)


@pytest.mark.parametrize(
    ("qparams", "said"),
    [
        (
            qparams_from_range(
                np.float32(-1), np.float32(3), QuantSpec("uint8", symmetric=False)
            ),
            "holds int8 alone; the tensor 'bad' is uint8",
        ),
        (
            qparams_from_range(
                np.float32(-1), np.float32(3), QuantSpec("int8", symmetric=False)
            ),
            "holds symmetric ranges alone; the tensor 'bad' has the zero point -64",
        ),
        (of_amax(1, QuantSpec("int16")), "the tensor 'bad' is int16"),
        (of_amax(1, QuantSpec("float8_e4m3fn")), "the tensor 'bad' is float8_e4m3fn"),
        (
            qparams_from_amax(
                np.ones((4, 1), np.float32), QuantSpec(granularity=PerChannel(0))
            ),
            "has one scale for each tensor; the tensor 'bad' has 4",
        ),
        (of_amax(1, QuantSpec(rounding="down")), "the tensor 'bad' is rounded down"),
    ],
)
def test_what_a_cache_cannot_hold_is_refused(tmp_path: Path, qparams, said) -> None:
    path = tmp_path / "a.cache"
    path.write_text("old")
    with pytest.raises(QuantError, match=said):
        write(path, {"good": of_amax(1), "bad": qparams, "worse": qparams})
    assert path.read_text() == "old"


@pytest.mark.parametrize("name", ["", "a\nb", " a", "a\r", "\ud800"])
def test_a_name_that_no_line_holds_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(QuantError, match="the tensor"):
        write(tmp_path / "a.cache", {name: of_amax(1)})


def test_a_narrow_format_is_held(tmp_path: Path) -> None:
    spec = QuantSpec(IntFormat(8, narrow=True))
    write(tmp_path / "a.cache", {"a": of_amax(127, spec)})
    assert float(read(tmp_path / "a.cache")["a"].scale) == 1.0


def test_what_is_no_mapping_of_qparams_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="must map names to QParams; got float for 'a'"):
        write(tmp_path / "a.cache", {"a": 1.0})
    with pytest.raises(TypeError, match="must map names to QParams; got list"):
        write(tmp_path / "a.cache", [])


def test_a_header_of_another_form_is_refused(tmp_path: Path) -> None:
    with pytest.raises(QuantError, match="`header` must be like"):
        write(tmp_path / "a.cache", {}, header="TRT\n")
