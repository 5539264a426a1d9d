"""Inputs that are no tensors of numbers, and functions that call functions."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from qcore import QuantError
from qcore.adapters import onnx as adapter
from tests.adapters.onnx.graphs import sqnr

FLOATS = helper.make_tensor_type_proto(TensorProto.FLOAT, ["N", 6])


@pytest.fixture
def rows(rng):
    return rng.normal(size=(8, 1, 6)).astype(np.float32)


@pytest.fixture
def model(rng):
    """A function that gives a model of nodes, that have a matrix w, and inputs."""

    def model(nodes, *inputs, outputs=(), functions=(), shape=("N", 6)):
        w = onnx.numpy_helper.from_array(rng.normal(size=(6, 6)).astype("f4"), "w")
        y = helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)
        graph = helper.make_graph(nodes, "net", inputs, [y, *outputs], [w])
        imports = [helper.make_opsetid("", 18), helper.make_opsetid("own", 1)]
        return helper.make_model(
            graph, opset_imports=imports, ir_version=8, functions=functions
        )

    return model


def tensor(name, kind=TensorProto.FLOAT, shape=("N", 6)):
    return helper.make_tensor_value_info(name, kind, shape)


def product(x, y="y", w="w"):
    return helper.make_node("MatMul", [x, w], [y])


def answer(model, feed):
    return onnxruntime.InferenceSession(model.SerializeToString()).run(None, feed)


@pytest.fixture
def labelled(model):
    """A product beside strings that pass by."""
    strings = (tensor(name, TensorProto.STRING, ["N"]) for name in ("s", "t"))
    given, passed = strings
    nodes = [product("x"), helper.make_node("Identity", ["s"], ["t"])]
    return model(nodes, tensor("x"), given, outputs=[passed])


@pytest.mark.parametrize("dtype", [object, str])
@pytest.mark.parametrize("recover", ["none", "full"])
@pytest.mark.parametrize("memory", [0, 1 << 20])
def test_strings_are_fed_as_they_are(labelled, rows, dtype, recover, memory):
    words = np.array(["a word"], dtype)
    data = [{"x": x, "s": words} for x in rows]
    found = adapter.quantize(labelled, data, recover=recover, memory=memory)
    wanted, got = (answer(one, data[0]) for one in (labelled, found))
    assert got[1].tolist() == ["a word"]
    assert sqnr(wanted[0], got[0]) > 30


def test_strings_lie_in_npz_files(labelled, rows, tmp_path):
    path = tmp_path / "data.npz"
    np.savez(path, x=rows[:, 0], s=np.array(["a", "bc"] * 4))
    listed = [{"x": x, "s": np.array(["a"])} for x in rows]
    found, wanted = (adapter.calibrate(labelled, d)["x"] for d in (path, listed))
    np.testing.assert_array_equal(found.counts, wanted.counts)


def test_numbers_are_no_strings_nor_strings_numbers(labelled, rows):
    x, word = rows[0], np.array(["a"])
    for feed, said in (
        ({"x": x, "s": np.zeros(1)}, r"'s' must be string \[N\]; got float64 \[1\]"),
        ({"x": x, "s": np.array([1], object)}, "'s' must be string"),
        ({"x": np.array([["1"] * 6]), "s": word}, r"'x' must be float32 \[N, 6\]; got"),
    ):
        with pytest.raises(QuantError, match=said):
            adapter.calibrate(labelled, [feed])


def test_bad_numbers_beside_strings_are_told(labelled):
    feed = {"x": np.full((1, 6), np.nan, np.float32), "s": np.array(["a"])}
    with pytest.raises(QuantError, match="NaN in sample 0; its input 'x' does too"):
        adapter.calibrate(labelled, [feed])


def test_an_optional_input_is_fed_like_others(model, rows):
    given = helper.make_value_info("o", helper.make_optional_type_proto(FLOATS))
    got = helper.make_node("OptionalGetElement", ["o"], ["x"])
    made = model([got, product("x")], given)
    data = [{"o": x} for x in rows]
    found = adapter.quantize(made, data)
    assert sqnr(answer(made, data[0])[0], answer(found, data[0])[0]) > 30
    with pytest.raises(QuantError, match=r"'o' must be float32 \[N, 6\]; got NoneType"):
        adapter.quantize(made, [{"o": None}])


def test_an_input_of_several_tensors_is_told_to_be_none(model, rows):
    given = helper.make_value_info("q", helper.make_sequence_type_proto(FLOATS))
    got = helper.make_node("ConcatFromSequence", ["q"], ["x"], axis=0)
    made = model([got, product("x")], given)
    data = [{"q": [x, x]} for x in rows]
    with pytest.raises(QuantError, match="'q' of the model must be a tensor for"):
        adapter.quantize(made, data)
    found = adapter.quantize(made, activation="dynamic")  # which needs no samples
    assert sqnr(answer(made, data[0])[0], answer(found, data[0])[0]) > 30


def test_functions_in_functions_are_quantized(model, rows):
    core, own = helper.make_opsetid("", 18), helper.make_opsetid("own", 1)
    call = helper.make_node
    inner = helper.make_function(
        "own", "inner", ["a", "k"], ["b"], [product("a", "b", "k")], [core]
    )
    steps = [
        call("inner", ["a", "k"], ["c"], domain="own"),
        call("Relu", ["c"], ["d"]),
        call("inner", ["d", "k"], ["b"], domain="own"),
    ]
    outer = helper.make_function("own", "outer", ["a", "k"], ["b"], steps, [core, own])
    made = model(
        [call("outer", ["x", "w"], ["y"], domain="own")],
        tensor("x"),
        functions=[inner, outer],
    )
    data = [{"x": x} for x in rows]
    found = adapter.quantize(made, data)
    assert len(adapter.inspect(found).contents.on_codes) == 2
    assert sqnr(answer(made, data[0])[0], answer(found, data[0])[0]) > 25


def test_a_function_that_calls_itself_is_refused(model, rows):
    core, own = helper.make_opsetid("", 18), helper.make_opsetid("own", 1)
    call = helper.make_node("loop", ["a", "k"], ["b"], domain="own")
    loop = helper.make_function("own", "loop", ["a", "k"], ["b"], [call], [core, own])
    start = helper.make_node("loop", ["x", "w"], ["y"], domain="own")
    made = model([product("x")], tensor("x"))
    made.functions.append(loop)
    made.graph.node[0].CopyFrom(start)
    with pytest.raises(QuantError, match="must not be recursive"):
        adapter.quantize(made, [{"x": x} for x in rows])


def test_smoothing_takes_inputs_whose_rank_differs_by_sample(model, rows):
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, None)
    made = model([product("x")], x, shape=None)
    flat = [{"x": row} for row in rows]
    mixed = [{"x": row if n % 2 else row[None]} for n, row in enumerate(rows)]
    found, wanted = (
        adapter.quantize(made, data, smooth=True, recover="none")
        for data in (mixed, flat)
    )
    assert found == wanted
