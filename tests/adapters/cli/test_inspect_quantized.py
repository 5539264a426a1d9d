"""What is told of quantized models, against what onnx and numpy read off them."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper


@pytest.fixture
def quantized(qcore, model: Path, data: Path, tmp_path: Path) -> Path:
    path = tmp_path / "int8.onnx"
    assert qcore("quantize", model, "--data", data, "-o", path, "-q").code == 0
    return path


@pytest.fixture
def contents(qcore):
    """A function from a model to what is in it, as JSON tells."""

    def contents(path: Path, *options: str) -> dict:
        code, out, err = qcore("inspect", path, "--json", *options)
        assert (code, err) == (0, "")
        return json.loads(out)["contents"]

    return contents


def constants(path: Path) -> dict[str, np.ndarray]:
    tensors = onnx.load(path).graph.initializer
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in tensors}


def save(path: Path, nodes, inputs, outputs, arrays=(), opset: int = 21) -> Path:
    """Write a model of nodes, values and named arrays."""
    tensors = [
        array
        if isinstance(array, TensorProto)
        else numpy_helper.from_array(np.asarray(array), name)
        for name, array in dict(arrays).items()
    ]
    graph = helper.make_graph(nodes, "g", inputs, outputs, tensors)
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=10), path)
    return path


def floats(name: str, *shape: int | str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def test_scales_and_zero_points_are_those_in_the_file(
    contents, quantized: Path
) -> None:
    held, graph = constants(quantized), onnx.load(quantized).graph
    grids = {grid["tensor"]: grid for grid in contents(quantized)["grids"]}
    for node in graph.node:
        if node.op_type == "QuantizeLinear":
            grid = grids.pop(node.input[0])
            scale, zero = (float(held[name]) for name in node.input[1:])
            assert grid["scale"] == [scale, scale]
            assert grid["zero_point"] == [zero, zero]
            kind = ("activation", "uint8", "per tensor", 1)
            assert (
                *map(grid.get, ("role", "format", "granularity", "scales")),
            ) == kind
    assert {grid["role"] for grid in grids.values()} == {"weight", "bias"}
    for name, grid in grids.items():
        (node,) = [node for node in graph.node if node.input[0] == name]
        scales = held[node.input[1]]
        assert grid["scale"] == [scales.min(), scales.max()]
        assert grid["scales"] == scales.size
        assert grid["format"] == held[name].dtype.name


def test_sizes_are_those_of_the_constants(contents, quantized: Path, model: Path):
    found, held = contents(quantized), constants(quantized)
    assert sum(kind["bytes"] for kind in found["constants"]) == sum(
        array.nbytes for array in held.values()
    )
    weights = [array for name, array in held.items() if name.endswith("_quantized")]
    (codes,) = [kind for kind in found["constants"] if kind["holds"] == "weights"]
    of_codes = [array for array in weights if array.itemsize == 1]
    assert codes["values"] == sum(array.size for array in of_codes)
    assert codes["tensors"] == len(of_codes)
    # The float model has a bias where the quantized one has its codes.
    before = sum(array.nbytes for array in constants(model).values())
    after = sum(kind["bytes"] for kind in found["constants"])
    assert found["compression"] == pytest.approx(before / after, rel=1e-3)


def test_the_text_has_a_table_for_each_kind_of_codes(qcore, quantized: Path) -> None:
    out = qcore("inspect", quantized, "--limit", 2).out
    heads = [line.split()[0] for line in out.splitlines() if "zero point" in line]
    assert heads[:3] == ["activations", "weights", "biases"]
    assert out.count("more (--limit 0 shows all).") == 3
    assert "as floats they would take" in out


def test_the_text_fits_the_terminal(qcore, quantized: Path, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    tables = qcore("inspect", quantized, "--limit", 0).out.split("\n\n")[2:]
    assert max(len(line) for table in tables for line in table.splitlines()) <= 80


def test_what_the_runtime_could_compute_on_codes_is_told(
    contents, tmp_path: Path
) -> None:
    weight = np.ones((1, 1, 1, 1), np.float32)
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        helper.make_node("Conv", ["d", "w"], ["y"], "last"),
    ]
    arrays = {"s": np.float32(0.5), "z": np.uint8(3), "w": weight}
    path = save(
        tmp_path / "m.onnx",
        nodes,
        [floats("x", 1, 1, 2, 2)],
        [floats("y", 1, 1, 2, 2)],
        arrays,
    )
    (last,) = contents(path)["kept_float"]
    reason = "onnxruntime could compute it on codes"
    assert last == {
        "node": "last",
        "op_type": "Conv",
        "reason": f"its weight is not in codes; {reason}",
    }
    (last,) = contents(path, "--target", "tensorrt")["kept_float"]
    assert last["reason"].endswith("tensorrt could compute it on codes")


def test_blocks_of_4_bits_are_told(contents, tmp_path: Path) -> None:
    codes = helper.make_tensor("c", TensorProto.INT4, [64, 3], np.ones(192, np.int8))
    nodes = [
        helper.make_node("DequantizeLinear", ["c", "s"], ["w"], axis=0, block_size=32),
        helper.make_node("MatMul", ["x", "w"], ["y"], "product"),
        helper.make_node("Softmax", ["y"], ["p"]),
    ]
    arrays = {"c": codes, "s": np.arange(1, 7, dtype=np.float32).reshape(2, 3)}
    path = save(
        tmp_path / "m.onnx", nodes, [floats("x", 1, 64)], [floats("p", 1, 3)], arrays
    )
    found = contents(path)
    assert found["grids"] == [
        {
            "tensor": "c",
            "role": "weight",
            "format": "int4",
            "granularity": "blocks of 32 on axis 0",
            "scales": 6,
            "scale": [1, 6],
            "zero_point": [0, 0],
        }
    ]
    assert found["constants"][0] == {
        "format": "int4",
        "holds": "weights",
        "tensors": 1,
        "values": 192,
        "bytes": 96,
        "float_bytes": 4 * 192,
    }
    assert found["compression"] == 4 * 192 / (96 + 6 * 4)
    assert found["other_operators"] == {"Softmax": 1}
    assert [node["node"] for node in found["kept_float"]] == ["product"]


def test_packed_weights_of_onnxruntime_are_counted_by_their_bits(
    contents, tmp_path: Path
) -> None:
    node = helper.make_node(
        "MatMulNBits", ["x", "b", "s"], ["y"], "packed", domain="com.microsoft",
        K=64, N=3, bits=4, block_size=32,
    )  # fmt: skip
    arrays = {"b": np.zeros((3, 2, 16), np.uint8), "s": np.ones(6, np.float32)}
    values = [floats("x", 1, 64)], [floats("y", 1, 3)]
    found = contents(save(tmp_path / "m.onnx", [node], *values, arrays))
    assert found["on_codes"] == ["packed"]
    weights, scales = found["constants"]
    assert (weights["format"], weights["values"], weights["bytes"]) == (
        "uint4",
        192,
        96,
    )
    assert scales["holds"] == "scales"


def test_constants_of_operators_on_codes_are_told_apart(
    contents, tmp_path: Path
) -> None:
    names = ["x", "s", "z", "w", "s", "z", "s", "z", "b"]
    nodes = [
        helper.make_node("QuantizeLinear", ["a", "s", "z"], ["x"]),
        helper.make_node("QLinearConv", names, ["y"], "first"),
        helper.make_node("ConvInteger", ["y", "v"], ["c"], "second"),
    ]
    arrays = {
        "s": np.float32(1),
        "z": np.uint8(0),
        "w": np.ones((2, 1, 1, 1), np.uint8),
        "v": np.ones((3, 2, 1, 1), np.uint8),
        "b": np.ones(2, np.int32),
    }
    output = helper.make_tensor_value_info("c", TensorProto.INT32, [1, 3, 4, 4])
    path = save(tmp_path / "m.onnx", nodes, [floats("a", 1, 1, 4, 4)], [output], arrays)
    found = contents(path)
    assert found["on_codes"] == ["first", "second"]
    assert {kind["holds"]: kind["values"] for kind in found["constants"]} == {
        "weights": 8,
        "biases": 2,
        "scales": 1,
        "zero points": 1,
    }
    assert found["compression"] == 4 * 10 / (8 + 2 * 4 + 4 + 1)


def test_scales_found_as_the_model_runs_are_told_so(
    qcore, contents, tmp_path: Path
) -> None:
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"]),
    ]
    path = save(tmp_path / "m.onnx", nodes, [floats("x", 2)], [floats("y", 2)])
    (grid,) = contents(path)["grids"]
    assert (grid["tensor"], grid["format"], grid["scale"]) == ("x", "uint8", None)
    assert "at run time" in qcore("inspect", path).out


def test_constants_may_be_nodes(contents, tmp_path: Path) -> None:
    scale = numpy_helper.from_array(np.float32(0.25))
    nodes = [
        helper.make_node("Constant", [], ["s"], value=scale),
        helper.make_node("QuantizeLinear", ["x", "s"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s"], ["y"]),
    ]
    path = save(tmp_path / "m.onnx", nodes, [floats("x", 2)], [floats("y", 2)])
    found = contents(path)
    assert found["grids"][0]["scale"] == [0.25, 0.25]
    assert [kind["holds"] for kind in found["constants"]] == ["scales"]
