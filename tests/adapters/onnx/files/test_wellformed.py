"""Files that lie about themselves are refused before anything is made of them."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from qcore import QuantError
from qcore.adapters.onnx.files.model_file import to_ir
from qcore.adapters.onnx.prepare import prepare


@pytest.fixture
def linear(build) -> onnx.ModelProto:
    return build(
        "float[N, 2] x",
        "float[N, 3] y",
        "{ [dot] z = MatMul(x, w) [add] y = Add(z, b) }",
        w=np.ones((2, 3), np.float32),
        b=np.ones(3, np.float32),
    )


def test_an_initializer_shorter_than_its_shape_is_refused(linear):
    linear.graph.initializer[0].raw_data = bytes(20)
    with pytest.raises(
        QuantError, match=r"'w' .* hold 24 bytes for its shape \[2, 3\]"
    ):
        to_ir(linear)


def test_an_initializer_of_another_type_than_its_bytes_is_refused(linear):
    linear.graph.initializer[0].data_type = TensorProto.DOUBLE
    with pytest.raises(QuantError, match=r"must hold 48 bytes .*; it holds 24"):
        to_ir(linear)


@pytest.mark.parametrize("kind", [0, 77])
def test_an_initializer_of_no_known_type_is_refused(linear, kind):
    linear.graph.initializer[1].data_type = kind
    with pytest.raises(QuantError, match=f"'b' .* be of numbers; its type is {kind}"):
        to_ir(linear)


def test_huge_extents_without_data_allocate_nothing(linear):
    linear.graph.initializer[0].dims[:] = [2**40, 2**40]
    with pytest.raises(QuantError, match=r"must hold \d{25} bytes .*; it holds 24"):
        to_ir(linear)


def test_negative_extents_are_refused(linear):
    linear.graph.initializer[0].dims[0] = -2
    with pytest.raises(QuantError, match=r"extents of at least 0; got \[-2, 3\]"):
        to_ir(linear)


def test_listed_numbers_are_counted(linear):
    values = helper.make_tensor("w", TensorProto.FLOAT, [2, 3], range(6))
    linear.graph.initializer[0].CopyFrom(values)
    assert to_ir(linear).graph.initializers["w"].const_value.shape == (2, 3)
    del linear.graph.initializer[0].float_data[5]
    with pytest.raises(QuantError, match=r"must hold 6 numbers .*; it holds 5"):
        to_ir(linear)


@pytest.mark.parametrize("kind", ["INT4", "UINT4", "BFLOAT16", "COMPLEX64", "BOOL"])
@pytest.mark.parametrize("raw", [False, True])
def test_tensors_of_every_width_are_measured_as_onnx_writes_them(linear, kind, raw):
    number = TensorProto.DataType.Value(kind)
    if raw:
        array = np.ones(5, helper.tensor_dtype_to_np_dtype(number))
        extra = onnx.numpy_helper.from_array(array, "extra")
    else:
        extra = helper.make_tensor("extra", number, [5], [1] * 5)
    linear.graph.initializer.append(extra)
    to_ir(linear)


def test_strings_are_counted(linear):
    text = helper.make_tensor("text", TensorProto.STRING, [2], [b"a", b"b"])
    linear.graph.initializer.append(text)
    to_ir(linear)
    linear.graph.initializer[-1].dims[0] = 3
    with pytest.raises(QuantError, match=r"must hold 3 strings .*; it holds 2"):
        to_ir(linear)


def test_constants_of_nodes_are_measured_too(linear):
    short = helper.make_tensor("c", TensorProto.FLOAT, [1], [1.0])
    short.dims[0] = 9
    linear.graph.node.append(helper.make_node("Constant", [], ["c"], value=short))
    with pytest.raises(QuantError, match=r"must hold 9 numbers"):
        to_ir(linear)


def test_a_cycle_is_refused(linear):
    linear.graph.node[0].input[0] = "y"
    with pytest.raises(
        QuantError, match="must have no cycle; MatMul 'dot' lies on one"
    ):
        to_ir(linear)


def test_nodes_may_stand_in_any_order(build):
    model = build("float[N] x", "float[N] y", "{ a = Exp(x) b = Neg(a) y = Sin(b) }")
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(reversed(nodes))
    made = [node.op_type for node in prepare(model).graph]
    assert made == ["Exp", "Neg", "Sin"]


def test_names_inside_of_a_body_are_none_of_those_outside(build):
    model = build(
        "float[N] x",
        "float[N] a",
        """{
            s = SequenceConstruct(x)
            t = SequenceMap<body = b (float[N] e) => (float[N] o) { o = Neg(e) }>(s)
            y = ConcatFromSequence<axis = 0>(t)
            a = Abs(y)
        }""",
    )
    body = model.graph.node[1].attribute[0].g
    body.input[0].name = body.node[0].input[0] = "a"
    to_ir(model)


def test_a_cycle_through_a_body_is_refused(build):
    model = build(
        "float[N] x, bool c",
        "float[N] y",
        """{
            y = If(c) <
                then_branch = yes () => (float[N] a) { a = Neg(x) },
                else_branch = no () => (float[N] b) { b = Abs(x) }
            >
        }""",
    )
    to_ir(model)
    model.graph.node[0].attribute[0].g.node[0].input[0] = "y"
    with pytest.raises(QuantError, match="must have no cycle; If"):
        to_ir(model)


def test_what_nothing_makes_is_not_read(linear):
    linear.graph.node[1].input[1] = "bias"
    with pytest.raises(QuantError, match="Add 'add' reads 'bias', which nothing makes"):
        to_ir(linear)


def test_what_nothing_makes_is_not_given(linear):
    linear.graph.output[0].name = "answer"
    with pytest.raises(QuantError, match="gives 'answer', which nothing in it makes"):
        to_ir(linear)


def test_nothing_is_made_twice(linear):
    linear.graph.node[1].output[0] = "z"
    with pytest.raises(QuantError, match="'z' must be made once; Add 'add' does, too"):
        to_ir(linear)


def test_names_that_are_no_text_are_refused(linear, tmp_path: Path):
    content = linear.SerializeToString().replace(b"MatMul", b"MatM\xff\xff")
    (tmp_path / "net.onnx").write_bytes(content)
    with pytest.raises(
        QuantError, match="the op_type of a node of the model must be t"
    ):
        to_ir(tmp_path / "net.onnx")


def test_what_cannot_be_written_again_is_told_not_traced(linear, tmp_path: Path):
    linear.producer_name = "maker"
    content = linear.SerializeToString().replace(b"maker", b"mak\xff\xff")
    (tmp_path / "net.onnx").write_bytes(content)
    with pytest.raises(
        QuantError, match=r"must be a valid ONNX model; it is not: .*utf"
    ):
        prepare(tmp_path / "net.onnx")


def test_what_the_checker_finds_is_told_once_a_pass_has_failed(linear):
    constant = helper.make_node("Constant", [], ["c"], vilue=1.0)
    linear.graph.node.append(constant)
    with pytest.raises(QuantError, match="must be a valid ONNX model; it is not: "):
        prepare(linear)
