"""ONNX's own tests of the operators: quantized, or refused by a sentence that holds.

Each is taken as it is, and then between two products, with its parameters constant.
"""

import re
import warnings
from functools import cache

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper
from onnx.backend.test.case.node import collect_testcases

from qcore import QuantError
from qcore.adapters import onnx as adapter
from tests.adapters.onnx.graphs import all_nodes, sqnr

OPERATORS = [
    *("Conv", "ConvTranspose", "Gemm", "MatMul", "Einsum", "LSTM", "GRU", "RNN"),
    *("Add", "Mul", "Sub", "Div", "AveragePool", "GlobalAveragePool", "MaxPool"),
    *("GlobalMaxPool", "Concat", "Split", "Resize", "Pad", "Softmax", "Sigmoid"),
    *("Gelu", "LayerNormalization", "GroupNormalization", "InstanceNormalization"),
    *("BatchNormalization", "RMSNormalization", "HardSwish", "HardSigmoid", "Erf"),
    *("Tanh", "Relu", "LeakyRelu", "PRelu", "Elu", "Clip", "Gather", "GatherElements"),
    *("DepthToSpace", "SpaceToDepth", "Reshape", "Transpose", "Flatten", "Squeeze"),
    *("Unsqueeze", "Slice", "Expand", "Tile", "Dropout", "ReduceMean", "ReduceMax"),
    *("ReduceMin", "Where"),
]
OF_ACTIVATIONS = {"Add", "Concat", "Div", "Einsum", "MatMul", "Mul", "Sub", "Where"}
"""Operators all of whose inputs of floats are activations."""
SAMPLES = 4  # of each operator; there are 1,884 tests in all

REASONS = "|".join(
    [
        r"has no Conv or Gemm or MatMul to quantize(\.|: \w+ '.*' stays float: )",
        "must be one for inference",
        "must have seen a finite value",  # of tensors without elements
        "must load in onnxruntime",  # which lacks some of ONNX's operators
        "must be ONNX's tensors|must be a tensor",
    ]
)


@cache
def every_test():
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # some compute on infinities
        return collect_testcases(None)


@cache
def nodes_by_operator():
    """Return ONNX's tests of single nodes, some of each operator."""
    found = {}
    for test in every_test():
        nodes = test.model.graph.node
        if len(nodes) == 1 and not nodes[0].domain:
            found.setdefault(nodes[0].op_type, []).append(test)
    return {
        name: tests[:: -(-len(tests) // SAMPLES)]
        for name, tests in found.items()
        if name in OPERATORS
    }


def feed_of(test):
    return {
        value.name: array
        for value, array in zip(
            test.model.graph.input, test.data_sets[0][0], strict=False
        )
    }


def is_activation(array):
    return array.dtype == np.float32 and array.ndim and array.shape[-1] <= 64


def between_products(test):
    """Return the node with a product before and behind each activation, and its feed.

    It is ``None`` if the node has no activations of float32.
    """
    model = onnx.ModelProto()
    model.CopyFrom(test.model)
    graph, (node,) = model.graph, model.graph.node
    feed = feed_of(test)
    first = next((name for name in feed if is_activation(feed[name])), None)
    if first is None:
        return None
    for name in [name for name in feed if name != first]:
        if node.op_type not in OF_ACTIVATIONS or feed[name].dtype.kind != "f":
            array = feed.pop(name)
            graph.initializer.append(numpy_helper.from_array(array, name))
    inputs = [value for value in graph.input if value.name in feed]
    del graph.input[:]
    graph.input.extend(inputs)
    nodes = []
    for name, array in feed.items():
        if is_activation(array):
            nodes.append(_product(graph, name, np.eye(array.shape[-1]), name + "_in"))
            renamed = [name + "_in" if old == name else old for old in node.input]
            node.input[:] = renamed
    nodes.append(node)
    for value, array in zip(list(graph.output), test.data_sets[0][1], strict=False):
        if is_activation(array):
            columns = np.ones((array.shape[-1], 2)) / max(array.shape[-1], 1)
            nodes.append(_product(graph, value.name, columns, value.name + "_out"))
            shape = [*array.shape[:-1], 2]
            graph.output.remove(value)
            graph.output.append(
                helper.make_tensor_value_info(value.name + "_out", 1, shape)
            )
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)
    # From 4 on, initializers need not be inputs; the newest versions are
    # none that onnxruntime knows.
    model.ir_version = min(max(model.ir_version, 4), 13)
    model.opset_import[0].version = min(model.opset_import[0].version, 26)
    return model, feed


def _product(graph, name, matrix, result):
    weight = numpy_helper.from_array(matrix.astype(np.float32), f"{result}_matrix")
    graph.initializer.append(weight)
    return helper.make_node("MatMul", [name, weight.name], [result], result)


def outputs(model, feed):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    return session.run(None, feed)


def quantized_or_refused(model, feed):
    """Return what the model gives when it is quantized; ``None`` if it was refused."""
    try:
        quantized = adapter.quantize(model, [feed])
    except QuantError as error:
        said = str(error)
    else:
        said = ""
    assert not said or re.search(REASONS, said)
    if said:
        return None
    assert any(node.op_type == "DequantizeLinear" for node in quantized.graph.node)
    return outputs(quantized, feed)


@pytest.mark.parametrize("operator", OPERATORS)
def test_a_node_alone_is_quantized_or_refused(operator):
    for test in nodes_by_operator()[operator]:
        if all(isinstance(array, np.ndarray) for array in feed_of(test).values()):
            quantized_or_refused(test.model, feed_of(test))


@pytest.mark.parametrize("operator", OPERATORS)
def test_a_node_between_products_is_quantized(operator):
    found = 0
    for test in nodes_by_operator()[operator]:
        case = between_products(test)
        if case is not None:
            got = quantized_or_refused(*case)
            found += got is not None
            for result, wanted in zip(
                got or (), outputs(*case) if got else (), strict=True
            ):
                error = np.linalg.norm(result.astype(float) - wanted.astype(float))
                assert error <= 0.1 * np.linalg.norm(wanted) + 0.02
    assert found or operator == "Einsum"  # all of whose tests are in doubles


@pytest.mark.parametrize(
    "case", ["linear", "gated_delta", "gated_delta_gqa", "prefill_with_past"]
)
def test_attention_that_onnx_writes_as_a_scan_computes_on_codes(case):
    name = f"test_linear_attention_{case}_expanded"
    (test,) = (test for test in every_test() if test.name == name)
    model = onnx.ModelProto()
    model.CopyFrom(test.model)
    for imported in model.opset_import:
        imported.version = min(imported.version, 26)
    compute = adapter.plan(model).compute
    quantized = adapter.quantize(model, [feed_of(test)], method="minmax")
    (scan,) = (node for node in quantized.graph.node if node.op_type == "Scan")
    (body,) = (a.g for a in scan.attribute if a.name == "body")
    inside = {node.name: node.op_type for node in all_nodes(body)}
    assert {inside[name] for name in compute} == {"MatMul"}
    assert list(inside.values()).count("QuantizeLinear") >= len(compute)
    answers = zip(test.data_sets[0][1], outputs(quantized, feed_of(test)), strict=True)
    assert min(sqnr(wanted, got) for wanted, got in answers) > 25
