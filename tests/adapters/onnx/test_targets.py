"""Every model follows the rules of the runtime that it is made for."""

import numpy as np
import onnx
import pytest

from qcore import QuantError
from qcore.adapters import onnx as adapter
from tests.adapters.onnx.corpus import CASES, model_of, samples_of
from tests.adapters.onnx.graphs import all_nodes, initializers
from tests.adapters.onnx.test_corpus import run

PRODUCTS = {"Conv", "ConvTranspose", "Gemm", "MatMul"}
QUANTIZED = [name for name, case in CASES.items() if not case.by_all]
CODES = {"tensorrt": {"int8"}, "openvino": {"uint8"}}


def graph_of(model):
    """Return constants by name, the producer of each tensor and the users of each."""
    constants = initializers(model.graph)
    nodes = list(all_nodes(model.graph))
    producers = {name: node for node in nodes for name in node.output}
    users = {}
    for node in nodes:
        for name in node.input:
            users.setdefault(name, []).append(node)
    return constants, producers, users


def is_read_back(name, producers):
    return name in producers and producers[name].op_type == "DequantizeLinear"


@pytest.mark.parametrize("target", ["tensorrt", "openvino"])
@pytest.mark.parametrize("name", QUANTIZED)
def test_a_model_follows_the_rules_of_its_target(name, target):
    model, samples = model_of(name), samples_of(name, 3)
    quantized = adapter.quantize(model, samples, target=target)
    planned = adapter.plan(model, target=target)
    constants, producers, users = graph_of(quantized)
    for node in all_nodes(quantized.graph):
        if node.op_type == "QuantizeLinear":
            zero_point = constants[node.input[2]]
            assert zero_point.dtype.name in CODES[target]
            assert target != "tensorrt" or not zero_point.any()
            # What is quantized is read by operators that compute on codes.
            assert all(
                user.op_type in {*PRODUCTS, "Add", "AveragePool", "GlobalAveragePool"}
                for decoded in users[node.output[0]]
                for user in users[decoded.output[0]]
            )
        elif node.op_type == "DequantizeLinear" and node.input[0] in constants:
            assert constants[node.input[0]].dtype == np.int8  # and no bias
            assert not constants[node.input[2]].any()
        elif node.name in planned.compute:
            assert is_read_back(node.input[0], producers)
            assert is_read_back(node.input[1], producers)
    found = zip(run(model, samples), run(quantized, samples), strict=True)
    for wanted, got in found:
        assert np.linalg.norm(wanted - got) < 0.05 * np.linalg.norm(wanted) + 1e-6


def test_tensorrt_quantizes_the_residual_input_of_a_sum_alone(net, samples):
    quantized = adapter.quantize(net, samples, target="tensorrt")
    _, producers, users = graph_of(quantized)
    (add,) = [node for node in quantized.graph.node if node.op_type == "Add"]
    conv, residual = (producers[name] for name in add.input)
    assert (conv.op_type, residual.op_type) == ("Conv", "DequantizeLinear")
    assert [user.op_type for user in users[conv.output[0]]] == ["Add"]


def test_openvino_quantizes_both_inputs_of_a_sum(net, samples):
    quantized = adapter.quantize(net, samples, target="openvino")
    _, producers, _ = graph_of(quantized)
    (add,) = [node for node in quantized.graph.node if node.op_type == "Add"]
    assert all(is_read_back(name, producers) for name in add.input)


def test_a_transposed_convolution_computes_in_codes_where_the_target_can(build, rng):
    w = rng.normal(size=(4, 3, 2, 2)).astype(np.float32)
    body = "{ [up] y = ConvTranspose<group = 2>(x, w) }"
    model = build("float[N, 4, 5, 5] x", "float[N, 6, H, W] y", body, w=w)
    assert adapter.plan(model, target="tensorrt").compute == ("up",)
    data = [{"x": rng.normal(size=(1, 4, 5, 5)).astype(np.float32)}]
    quantized = adapter.quantize(model, data, target="tensorrt")
    onnx.checker.check_model(quantized, full_check=True)
    constants, _, _ = graph_of(quantized)
    assert constants["w_scale"].shape == (3,)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"activation": "uint8"}, "must be int8, float8_e4m3fn or float; got 'uint8'"),
        ({"symmetric": False}, "of tensorrt must have zero points of 0"),
        ({"weight": "uint8"}, "`weight` of tensorrt .* must be int8; got 'uint8'"),
        ({"op_types": ["LSTM"]}, "must be among Conv, ConvTranspose, Gemm, MatMul"),
    ],
)
def test_what_a_target_does_not_take_is_refused(net, samples, options, said):
    with pytest.raises(QuantError, match=said):
        adapter.quantize(net, samples, target="tensorrt", **options)


def test_an_unknown_target_is_answered_with_the_nearest(net):
    with pytest.raises(QuantError, match="got 'tensort': did you mean 'tensorrt'"):
        adapter.plan(net, target="tensort")
