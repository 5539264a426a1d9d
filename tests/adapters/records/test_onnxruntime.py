"""Tables of ONNX Runtime, by its own code where that is installed."""

import json
from pathlib import Path

import numpy as np
import pytest

from qcore import FileFormatError, QuantError, QuantSpec
from qcore.adapters.records import onnxruntime_json, read, write
from tests.adapters.records.cases import (
    FLOAT8,
    INT8,
    PER_CHANNEL,
    PER_TENSOR,
    assert_same,
    decide,
    of_range,
)

quantization = pytest.importorskip(
    "onnxruntime.quantization", reason="needs ONNX Runtime"
)
flatbuffers = pytest.importorskip(
    "onnxruntime.quantization.CalTableFlatBuffers.TrtTable", reason="needs ONNX Runtime"
)


def tensors_data(**ranges: tuple[float, float]):
    """Return what onnxruntime's calibrators return."""
    pairs = {
        name: tuple(np.array(end, np.float32) for end in pair)
        for name, pair in ranges.items()
    }
    minmax = quantization.CalibrationMethod.MinMax
    return quantization.calibrate.TensorsData(minmax, pairs)


@pytest.mark.parametrize("name", PER_TENSOR)
def test_onnxruntime_makes_the_same_codes_of_our_table(tmp_path, name: str) -> None:
    one = decide({name: PER_TENSOR[name]})[name]
    write(tmp_path / "table.json", {name: one}, kind="onnxruntime")
    saved = quantization.load_tensors_data(tmp_path / "table.json")
    low, high = saved[name].range_value
    fmt, symmetric = one.spec.format, one.spec.symmetric and one.spec.format.signed
    ends = (-fmt.qmax if symmetric else fmt.qmin, fmt.qmax)
    zero_point, scale = quantization.quant_utils.compute_scale_zp(
        low, high, *(np.array(end, fmt.storage) for end in ends), symmetric
    )
    assert zero_point == one.zero_point
    np.testing.assert_array_max_ulp(scale, one.scale, 1)


def test_onnxruntime_quantizes_a_model_by_our_table(tmp_path: Path, model) -> None:
    spec = QuantSpec("uint8", symmetric=False)
    tensors = {"x": of_range(-1, 3, spec), "y": of_range(-7.5, 2, spec)}
    write(tmp_path / "table.json", tensors, kind="onnxruntime")
    quantization.quantize_static(
        model,
        tmp_path / "int8.onnx",
        None,
        activation_type=quantization.QuantType.QUInt8,
        calibration_cache_path=tmp_path / "table.json",
    )
    # The outputs of a model keep their names, and what is quantized gets another.
    found = {
        name.removesuffix("_QuantizeLinear_Input"): one
        for name, one in read(tmp_path / "int8.onnx").items()
    }
    for name, one in tensors.items():
        assert found[name].spec == spec
        assert found[name].zero_point == one.zero_point
        np.testing.assert_array_max_ulp(found[name].scale, one.scale, 1)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    onnx = pytest.importorskip("onnx", reason="needs ONNX")
    helper = onnx.helper
    x, y = (
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 4])
        for name in "xy"
    )
    weights = onnx.numpy_helper.from_array(np.eye(4, dtype=np.float32), "w")
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    graph = helper.make_graph([node], "g", [x], [y], [weights])
    opset = [helper.make_opsetid("", 21)]
    made = helper.make_model(graph, opset_imports=opset, ir_version=10)
    onnx.save(made, tmp_path / "float.onnx")
    return tmp_path / "float.onnx"


def test_what_onnxruntime_saves_is_read(tmp_path: Path) -> None:
    data = tensors_data(a=(-1.0, 3.0), b=(0.0, 2.0))
    quantization.save_tensors_data(data, tmp_path / "table.json")
    spec = QuantSpec("uint8", symmetric=False)
    expected = {"a": of_range(-1, 3, spec), "b": of_range(0, 2, spec)}
    assert_same(read(tmp_path / "table.json"), expected)


def test_what_onnxruntime_writes_for_tensorrt_is_read(tmp_path: Path) -> None:
    data = tensors_data(a=(-1.0, 3.0), b=(-2.5, 2.5))
    quantization.write_calibration_table(data, str(tmp_path))
    spec = QuantSpec("uint8", symmetric=False)
    ranges = {"a": of_range(-1, 3, spec), "b": of_range(-2.5, 2.5, spec)}
    assert_same(read(tmp_path / "calibration.json"), ranges)
    amax = {"a": of_range(-3, 3, QuantSpec()), "b": of_range(-2.5, 2.5, QuantSpec())}
    assert_same(read(tmp_path / "calibration.cache"), amax)
    found = read(tmp_path / "calibration.flatbuffers")
    assert_same(dict(sorted(found.items())), amax)


def test_onnxruntime_reads_our_flatbuffers(tmp_path: Path) -> None:
    tensors = decide(INT8 | {"größe": QuantSpec()})
    write(tmp_path / "calibration.flatbuffers", tensors)
    table = flatbuffers.TrtTable.GetRootAs(
        (tmp_path / "calibration.flatbuffers").read_bytes(), 0
    )
    pairs = [table.Dict(place) for place in range(table.DictLength())]
    found = {pair.Key().decode(): float(pair.Value()) for pair in pairs}
    expected = {name: 127 * float(one.scale) for name, one in tensors.items()}
    assert list(found.items()) == list(expected.items())


@pytest.mark.parametrize("length", range(9))
def test_names_of_any_length_are_aligned(tmp_path: Path, length: int) -> None:
    name = "n" * (length + 1)
    write(tmp_path / "a.flatbuffers", {name: of_range(-1, 1, QuantSpec())})
    table = flatbuffers.TrtTable.GetRootAs((tmp_path / "a.flatbuffers").read_bytes(), 0)
    assert table.Dict(0).Key() == name.encode()


def test_plain_ranges_of_older_versions_are_read(tmp_path: Path) -> None:
    (tmp_path / "calibration.json").write_text('{"a": [-1.0, 3.0]}')
    expected = {"a": of_range(-1, 3, QuantSpec("uint8", symmetric=False))}
    assert_same(read(tmp_path / "calibration.json"), expected)


def test_ranges_are_read_for_any_codes(tmp_path: Path) -> None:
    (tmp_path / "calibration.json").write_text('{"a": [-1.0, 3.0]}')
    found = onnxruntime_json.read(tmp_path / "calibration.json", spec=QuantSpec("int8"))
    assert_same(found, {"a": of_range(-1, 3, QuantSpec("int8"))})


@pytest.mark.parametrize(
    ("name", "spec", "said"),
    [
        ("rows", PER_CHANNEL["rows"], "has one scale for each tensor; .* 'rows' has 6"),
        ("e4m3", FLOAT8["e4m3"], "holds integers alone; .* 'e4m3' is float8_e4m3fn"),
    ],
)
def test_what_a_table_cannot_hold_is_refused(tmp_path, name, spec, said) -> None:
    tensors = decide(INT8 | {name: spec})
    with pytest.raises(QuantError, match=said):
        write(tmp_path / "table.json", tensors, kind="onnxruntime")
    assert not (tmp_path / "table.json").exists()


@pytest.mark.parametrize(
    ("tensor", "said"),
    [
        ([1], "a must be a list of two numbers"),
        ([3, 1], "a: lowest must not exceed highest; got 3.0 and 1.0"),
        ([-1, True], r"a\[1\] must be a number; got True"),
        ([-1, "1"], r"a\[1\] must be a number; got '1'"),
        ([-1, 1e39], r"a\[1\] must be a number of float32"),
        ([-1, 10**400], r"a\[1\] must be a number that float64 holds"),
        ({"lowest": -1}, "a must be an object with the key 'highest'"),
        (
            {"lowest": {}, "highest": 1},
            "a.lowest must be an object with the key 'data'",
        ),
        ({"lowest": [-1, -2], "highest": 1}, "a.lowest must be a single number"),
        ({"lowest": [[], []], "highest": 1}, "a.lowest must be a single number"),
        (None, "a must be an object"),
    ],
)
def test_what_is_no_range_is_refused_with_its_key(tmp_path, tensor, said) -> None:
    (tmp_path / "table.json").write_text(json.dumps({"a": tensor}))
    with pytest.raises(FileFormatError, match=said):
        read(tmp_path / "table.json", kind="onnxruntime")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a\n", "line 1 must have a name"),
        ("a 1\n\na 1\n", "line 3 has 'a' once more"),
        ("a -1\n", "line 1 must have a magnitude; got '-1'"),
        ("a nan\n", "line 1 must have a magnitude; got 'nan'"),
        ("a b\n", "line 1 must have a magnitude; got 'b'"),
        ("a 1e300\n", "line 1: a scale must be a positive normal float32; got inf"),
    ],
)
def test_what_is_no_line_of_a_table_is_refused(tmp_path, text, said) -> None:
    (tmp_path / "calibration.cache").write_text(text)
    with pytest.raises(FileFormatError, match=said):
        read(tmp_path / "calibration.cache", kind="onnxruntime-cache")
