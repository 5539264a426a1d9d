"""Models that onnxruntime's own tools quantized: what is told of them, and compared."""

import copy
import logging

import numpy as np
import onnx
import pytest
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    quantize_dynamic,
    quantize_static,
)
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

from qcore import QuantError
from qcore.adapters import onnx as adapter
from tests.adapters.onnx.graphs import constants, sqnr

BODY = """{
    [conv] c = Conv<pads = [1, 1, 1, 1]>(x, w1, b1)
    p = MaxPool<kernel_shape = [2, 2], strides = [2, 2]>(c)
    t = Transpose<perm = [0, 2, 3, 1]>(p)
    [product] m = MatMul(t, w2)
    y = Add(m, t)
}"""


class Reader(CalibrationDataReader):
    def __init__(self, samples):
        self.samples = iter(samples)

    def get_next(self):
        return next(self.samples, None)


@pytest.fixture
def float_model(build, rng):
    shapes = {"w1": (8, 3, 3, 3), "b1": (8,), "w2": (8, 8)}
    arrays = {n: rng.normal(size=s).astype(np.float32) for n, s in shapes.items()}
    return build("float[N, 3, 8, 8] x", "float[N, 4, 4, 8] y", BODY, **arrays)


@pytest.fixture
def static(float_model, samples, tmp_path, caplog):
    """In QOperator form, with scales per channel."""
    caplog.set_level(logging.ERROR)
    path = tmp_path / "static.onnx"
    form = QuantFormat.QOperator
    quantize_static(
        float_model, path, Reader(samples), quant_format=form, per_channel=True
    )
    return onnx.load(path)


@pytest.fixture
def dynamic(float_model, tmp_path, caplog):
    """Of ConvInteger and MatMulInteger."""
    caplog.set_level(logging.ERROR)
    path = tmp_path / "dynamic.onnx"
    quantize_dynamic(float_model, path)
    return onnx.load(path)


@pytest.fixture
def packed(build, rng):
    """A function that gives a product before and after."""

    def packed(**options):
        w = rng.normal(size=(70, 5)).astype(np.float32)
        body = "{ [product] y = MatMul(x, w) }"
        model = build("float[N, 70] x", "float[N, 5] y", body, w=w)
        work = MatMulNBitsQuantizer(copy.deepcopy(model), block_size=32, **options)
        work.process()
        return model, work.model.model

    return packed


def grids(model):
    return {grid.tensor: grid for grid in adapter.inspect(model).contents.grids}


def span(array):
    return float(array.min()), float(array.max())


def node_of(model, op_type):
    (node,) = [node for node in model.graph.node if node.op_type == op_type]
    return node


def test_the_fixtures_hold_the_operators_that_are_meant(static, dynamic, packed):
    def held(model):
        return {node.op_type for node in model.graph.node}

    assert {"QLinearConv", "QLinearMatMul", "QLinearAdd"} <= held(static)
    assert {"ConvInteger", "MatMulInteger", "DynamicQuantizeLinear"} <= held(dynamic)
    assert {"MatMulNBits"} == held(packed()[1])


def test_products_on_codes_are_named(static, dynamic, packed):
    on_codes = [adapter.inspect(m).contents.on_codes for m in (static, dynamic)]
    assert on_codes == [("conv_quant", "product_quant")] * 2
    assert len(adapter.inspect(packed()[1]).contents.on_codes) == 1


def test_what_passes_codes_on_is_no_other_operator(static):
    assert adapter.inspect(static).contents.other_operators == {}


@pytest.mark.parametrize("op_type", ["QLinearConv", "QLinearMatMul"])
def test_operands_of_products_have_the_grids_that_these_read(static, op_type):
    held, found, node = constants(static), grids(static), node_of(static, op_type)
    weight, scale, zero_point = node.input[3:6]
    grid = found[weight]
    assert (grid.role, grid.format, grid.scales) == ("weight", "int8", 8)
    axis = 0 if op_type == "QLinearConv" else 1
    assert grid.granularity == f"channels, axis {axis}"
    assert grid.scale == span(held[scale])
    assert grid.zero_point == span(held[zero_point])
    result = found[node.output[0]]
    assert (result.role, result.granularity) == ("activation", "per tensor")
    assert result.scale == span(held[node.input[6]])
    assert result.zero_point == span(held[node.input[7]])


def test_a_bias_has_the_scales_of_the_product(static):
    held, node = constants(static), node_of(static, "QLinearConv")
    x_scale, w_scale, bias = (node.input[n] for n in (1, 4, 8))
    grid = grids(static)[bias]
    assert (grid.role, grid.format, grid.scales) == ("bias", "int32", 8)
    assert grid.scale == span(held[x_scale] * held[w_scale])


@pytest.mark.parametrize("op_type", ["ConvInteger", "MatMulInteger"])
def test_scales_behind_integer_products_are_those_of_the_weight(dynamic, op_type):
    held, node = constants(dynamic), node_of(dynamic, op_type)
    name = {"ConvInteger": "w1", "MatMulInteger": "w2"}[op_type]
    grid = grids(dynamic)[node.input[1]]
    assert (grid.role, grid.format) == ("weight", "int8")
    assert grid.scale == span(held[f"{name}_scale"])
    assert grid.zero_point == span(held[node.input[3]])


def test_ranges_found_as_the_model_runs_have_no_scale(dynamic):
    grid = grids(dynamic)["x"]
    assert (grid.role, grid.format, grid.scale) == ("activation", "uint8", None)


@pytest.mark.parametrize("is_symmetric", [True, False])
def test_packed_weights_have_a_scale_for_each_block(packed, is_symmetric):
    _, model = packed(is_symmetric=is_symmetric)
    held = constants(model)
    name, scale, *zero_point = model.graph.node[0].input[1:]
    grid = grids(model)[name]
    assert (grid.role, grid.format, grid.scales) == ("weight", "uint4", 15)
    assert grid.granularity == "blocks of 32 on axis 0"
    assert grid.scale == span(held[scale])
    nibbles = np.full(1, 8)  # the default that onnxruntime documents
    if zero_point:
        both = held[zero_point[0]].reshape(5, 2)
        nibbles = np.stack([both & 15, both >> 4], -1).reshape(5, 4)[:, :3]
    assert grid.zero_point == span(nibbles)


def test_sizes_are_those_in_the_file(static, dynamic, packed):
    for model in (static, dynamic, packed()[1]):
        kinds = adapter.inspect(model).contents.constants
        held = constants(model)
        assert sum(kind.bytes for kind in kinds) == sum(a.nbytes for a in held.values())
        assert sum(kind.tensors for kind in kinds) == len(held)
    (weights,) = [kind for kind in kinds if kind.holds == "weights"]
    assert (weights.values, weights.float_bytes) == (350, 1400)


def test_outputs_are_compared_whatever_the_form(
    float_model, static, dynamic, packed, samples, rng, run
):
    rows = [{"x": rng.normal(size=(4, 70)).astype(np.float32)} for _ in range(3)]
    cases = [
        (float_model, static, samples),
        (float_model, dynamic, samples),
        (*packed(), rows),
    ]
    for before, after, data in cases:
        (output,) = adapter.compare(before, after, data).outputs
        wanted, found = (
            np.concatenate(
                [run(model, feed, merge=False) for feed in data], dtype=np.float64
            )
            for model in (before, after)
        )
        assert output.sqnr == pytest.approx(sqnr(wanted, found), abs=1e-3)


def test_tensors_that_both_have_are_compared(float_model, static, dynamic, samples):
    found = adapter.compare(float_model, dynamic, samples)
    assert {tensor.name for tensor in found.tensors} == {"c", "p", "t", "m"}
    assert not found.unmatched
    assert set(adapter.compare(float_model, static, samples).unmatched) == set("cptm")


def test_all_forms_are_known_to_be_quantized(static, dynamic, packed):
    for model in (static, dynamic, packed()[1]):
        with pytest.raises(QuantError, match="quantizes already"):
            adapter.quantize(model, activation="float")


@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize("weight", ["int8", "uint8"])
def test_tables_whose_rows_are_decoded_are_weights(build, rng, per_channel, weight):
    table = rng.normal(size=(300, 16)).astype(np.float32)
    body = "{ [words] e = Gather(table, x)  y = Relu(e) }"
    model = build("int64[N] x", "float[N, 16] y", body, table=table)
    found = adapter.quantize(
        model, activation="float", weight=weight, per_channel=per_channel
    )
    held, grid = constants(found), grids(found)["table_quantized"]
    scale, zero = held["table_scale"], 128 if weight == "uint8" else 0
    assert (grid.role, grid.format, grid.scale) == ("weight", weight, span(scale))
    assert grid.granularity == ("channels, axis 0" if per_channel else "per tensor")
    assert grid.zero_point == (zero, zero)
    contents = adapter.inspect(found).contents
    (codes,) = [kind for kind in contents.constants if kind.holds == "weights"]
    assert (codes.values, codes.bytes) == (4800, 4800)
    assert "others" not in {kind.holds for kind in contents.constants}


def test_tables_of_onnxruntime_s_tools_are_weights(build, rng, tmp_path):
    table = rng.normal(size=(300, 16)).astype(np.float32)
    body = "{ [words] e = Gather(table, x)  y = Relu(e) }"
    path = tmp_path / "dynamic.onnx"
    model = build("int64[N] x", "float[N, 16] y", body, table=table)
    quantize_dynamic(model, path, op_types_to_quantize=["Gather"])
    found = onnx.load(path)
    held, grid = constants(found), grids(found)["table_quantized"]
    assert (grid.role, grid.format) == ("weight", held["table_quantized"].dtype.name)
    assert grid.scale == span(held["table_scale"])
    assert grid.zero_point == span(held["table_zero_point"])
