"""What QDQ models say of their activations."""

from pathlib import Path

import numpy as np
import pytest

from qcore import FileFormatError, PerBlock, PerChannel, QuantError, QuantSpec
from qcore.adapters.records import read

onnx = pytest.importorskip("onnx", reason="needs ONNX")
helper = onnx.helper


@pytest.fixture
def quantizing(tmp_path: Path):
    """A function that writes a model that quantizes x, and gives its path."""

    def write(*operands: str, op: str = "QuantizeLinear", **constants) -> Path:
        attributes = {k: v for k, v in constants.items() if isinstance(v, int)}
        tensors = [
            onnx.numpy_helper.from_array(value, name)
            for name, value in constants.items()
            if not isinstance(value, int)
        ]
        x = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [2, 4])
        y = helper.make_tensor_value_info("y", onnx.TensorProto.UINT8, [2, 4])
        node = helper.make_node(op, operands, ["y"], **attributes)
        graph = helper.make_graph([node], "g", [x], [y], tensors)
        opset = [helper.make_opsetid("", 21)]
        model = helper.make_model(graph, opset_imports=opset, ir_version=10)
        onnx.save(model, tmp_path / "model.onnx")
        return tmp_path / "model.onnx"

    return write


def test_scale_and_zero_point_of_an_activation_are_read(quantizing) -> None:
    (one,) = read(quantizing("x", "s", "z", s=np.float32(0.25), z=np.int8(-3))).values()
    assert one.spec == QuantSpec("int8", symmetric=False)
    assert (one.scale, one.zero_point) == (0.25, -3)


def test_codes_are_uint8_if_nothing_is_said(quantizing) -> None:
    found = read(quantizing("x", "s", s=np.float32(0.25)))
    assert found["x"].spec == QuantSpec("uint8")


def test_the_type_may_be_an_attribute(quantizing) -> None:
    path = quantizing("x", "s", s=np.float32(0.25), output_dtype=3)
    assert read(path)["x"].spec == QuantSpec("int8")


def test_scales_along_an_axis_are_read(quantizing) -> None:
    scale, zeros = np.float32([1, 2, 3, 4]), np.zeros(4, np.int8)
    one = read(quantizing("x", "s", "z", s=scale, z=zeros))["x"]
    assert one.spec == QuantSpec("int8", PerChannel(1))
    np.testing.assert_array_equal(one.scale, [scale])


def test_scales_of_blocks_are_read(quantizing) -> None:
    scale, zeros = np.ones((2, 2), np.float32), np.zeros((2, 2), np.int8)
    path = quantizing("x", "s", "z", s=scale, z=zeros, axis=1, block_size=2)
    one = read(path)["x"]
    assert one.spec == QuantSpec("int8", PerBlock(1, 2))
    np.testing.assert_array_equal(one.scale, scale)


def test_weights_are_no_activations(quantizing) -> None:
    path = quantizing("w", "s", w=np.ones((2, 4), np.float32), s=np.float32(1))
    with pytest.raises(FileFormatError, match="none of its activations has constant"):
        read(path)


def test_what_is_computed_is_left_out(quantizing) -> None:
    with pytest.raises(FileFormatError, match="none of its activations has constant"):
        read(quantizing("x", "x"))


def test_a_scale_that_makes_no_codes_is_refused(quantizing) -> None:
    with pytest.raises(FileFormatError, match="the tensor 'x': a scale must be a pos"):
        read(quantizing("x", "s", s=np.float32(-1)))


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(b"\xff" * 100)
    with pytest.raises(QuantError, match=r"a\.onnx"):
        read(tmp_path / "a.onnx")


def test_a_scale_of_other_bytes_than_its_shape_has_is_refused(quantizing) -> None:
    path = quantizing("x", "s", s=np.ones(4, np.float32))
    model = onnx.load(path)
    model.graph.initializer[0].dims[:] = [2**40]
    path.write_bytes(model.SerializeToString())
    with pytest.raises(QuantError, match="'s' of the model must hold"):
        read(path)


@pytest.mark.parametrize("missing", range(1, 80, 3))
def test_a_model_that_ends_too_early_is_refused(quantizing, missing: int) -> None:
    path = quantizing("x", "s", s=np.float32(0.25))
    path.write_bytes(path.read_bytes()[:-missing])
    with pytest.raises(QuantError, match=r"model\.onnx"):
        read(path)
