"""Weights alone in codes: the answers are those of weights rounded by numpy."""

import numpy as np
import onnx
import pytest
from onnx.numpy_helper import to_array

from qcore import PerBlock, QParams, QuantError, QuantSpec
from qcore import quantize as to_codes
from qcore.adapters import onnx as adapter
from tests.adapters.onnx.graphs import constants


def normal(rng, *shape):
    return rng.normal(size=shape).astype(np.float32)


def op_types(model):
    return [node.op_type for node in model.graph.node]


def read_back(model):
    """Return what every DequantizeLinear of a constant gives, computed by numpy."""
    held = {t.name: t for t in model.graph.initializer}
    found = {}
    for node in model.graph.node:
        if node.op_type != "DequantizeLinear" or node.input[0] not in held:
            continue
        codes, scale, zero = (to_array(held[name]) for name in node.input)
        attributes = {a.name: a.i for a in node.attribute}
        axis, size = attributes.get("axis", 1), attributes.get("block_size", 0)
        if size:
            scale, zero = (
                np.repeat(a, size, axis).take(range(codes.shape[axis]), axis)
                for a in (scale, zero)
            )
        elif scale.ndim:
            shape = [-1 if i == axis else 1 for i in range(codes.ndim)]
            scale, zero = scale.reshape(shape), zero.reshape(shape)
        wide = codes.astype(np.float32) - zero.astype(np.float32)
        found[node.output[0]] = wide * scale
    return found


def float_twin(model, quantized):
    """Return the float model with what its weights became."""
    twin = onnx.ModelProto()
    twin.CopyFrom(model)
    real = read_back(quantized)
    for tensor in twin.graph.initializer:
        if (name := f"{tensor.name}_dequantized") in real:
            tensor.CopyFrom(onnx.numpy_helper.from_array(real[name], tensor.name))
    return twin


FORMATS = [
    ("int8", None),
    ("uint8", None),
    ("int4", None),
    ("int4", 32),
    ("uint4", 32),
    ("int8", 64),
    ("int6", None),
    ("uint3", 16),
    ("int16", None),
    ("float8_e4m3fn", None),
    ("float8_e5m2", 32),
]


@pytest.mark.parametrize(("weight", "block"), FORMATS)
def test_a_network_answers_as_one_with_the_rounded_weights(
    net, samples, run, weight, block
):
    quantized = adapter.quantize(net, activation="float", weight=weight, block=block)
    onnx.checker.check_model(quantized, full_check=True)
    assert "QuantizeLinear" not in op_types(quantized)
    twin = float_twin(net, quantized)
    changed = constants(net)["w2"] != constants(twin)["w2"]
    assert changed.any()
    got, wanted = (run(m, samples[0], merge=False) for m in (quantized, twin))
    # onnxruntime adds up the products of a constant in another order.
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)
    shown = onnx.helper.make_tensor_value_info("w2_dequantized", 1, None)
    quantized.graph.output.insert(0, shown)
    got = run(quantized, samples[0], merge=False)
    np.testing.assert_array_equal(got, constants(twin)["w2"])


@pytest.mark.parametrize("weight", ["int4", "uint4", "int8", "float8_e4m3fn"])
@pytest.mark.parametrize("rows", [64, 100])
def test_codes_of_blocks_are_those_of_the_core(build, rng, weight, rows):
    w = normal(rng, rows, 6)
    model = build("float[N, K] x", "float[N, 6] y", "{ y = MatMul(x, w) }", w=w)
    options = {"weight": weight, "weight_method": "minmax", "block": 32}
    held = constants(adapter.quantize(model, activation="float", **options))
    codes, scale = held["w_quantized"], held["w_scale"]
    assert scale.shape == (-(-rows // 32), 6)
    limit = {"int4": 7, "uint4": 7, "int8": 127, "float8_e4m3fn": 448}[weight]
    padded = np.pad(np.abs(w), ((0, -rows % 32), (0, 0)))
    largest = padded.reshape(-1, 32, 6).max(axis=1)
    np.testing.assert_array_equal(scale, largest / np.float32(limit))
    spec = QuantSpec(weight.removeprefix("u"), PerBlock(0, 32))
    wanted = to_codes(w, QParams(scale, np.zeros(scale.shape, np.int32), spec))
    if weight == "uint4":
        wanted = wanted + 8
    bits = codes.view(np.uint8) if weight.startswith("float") else codes
    np.testing.assert_array_equal(bits.astype(np.int32), wanted.astype(np.int32))


def test_four_bits_take_half_a_byte(build, rng):
    w = normal(rng, 64, 6)
    model = build("float[N, 64] x", "float[N, 6] y", "{ y = MatMul(x, w) }", w=w)
    quantized = adapter.quantize(model, activation="float", weight="int4", block=32)
    held = {tensor.name: tensor for tensor in quantized.graph.initializer}
    assert held["w_quantized"].data_type == onnx.TensorProto.INT4
    assert len(held["w_quantized"].raw_data) == 64 * 6 // 2


def test_where_the_summed_axis_is_shorter_than_a_block_a_channel_has_one_scale(
    build, rng
):
    w, v = normal(rng, 8, 4, 3, 3), normal(rng, 8, 1, 3, 3)
    body = "{ [wide] a = Conv(x, w)  [depthwise] y = Conv<group = 8>(a, v) }"
    model = build("float[1, 4, 9, 9] x", "float[1, 8, 5, 5] y", body, w=w, v=v)
    quantized = adapter.quantize(model, activation="float", weight="int4", block=32)
    assert constants(quantized)["w_scale"].shape == (8,)
    # Nine weights in 4 bits each are nothing to multiply by.
    np.testing.assert_array_equal(constants(quantized)["v"], v)


@pytest.mark.parametrize(
    ("body", "shape", "axis"),
    [
        ("{ y = Gemm<transB = 1>(x, w) }", (5, 6), 0),
        ("{ y = Gemm(x, w) }", (6, 5), 1),
        ("{ y = Gemm<transB = 1>(w, x) }", (5, 6), 0),
        ("{ y = MatMul(w, x) }", (5, 6), 0),
    ],
)
def test_each_channel_of_a_product_has_a_scale(build, rng, run, body, shape, axis):
    model = build("float[6, 6] x", "float[A, B] y", body, w=normal(rng, *shape))
    quantized = adapter.quantize(model, activation="float")
    (node,) = (n for n in quantized.graph.node if n.op_type == "DequantizeLinear")
    assert [a.i for a in node.attribute] == [axis]
    assert constants(quantized)["w_scale"].shape == (5,)
    x = {"x": normal(rng, 6, 6)}
    wanted = run(float_twin(model, quantized), x, merge=False)
    np.testing.assert_array_equal(run(quantized, x, merge=False), wanted)


@pytest.mark.parametrize(("op_type", "gates"), [("LSTM", 4), ("GRU", 3), ("RNN", 1)])
@pytest.mark.parametrize(("weight", "block"), [("int8", None), ("int4", 16)])
def test_weights_of_recurrent_networks_are_stored(
    build, rng, run, op_type, gates, weight, block
):
    given = {
        "w": normal(rng, 1, gates * 20, 24),
        "r": normal(rng, 1, gates * 20, 20),
        "b": normal(rng, 1, gates * 40),
    }
    body = f"{{ y = {op_type}<hidden_size = 20>(x, w, r, b) }}"
    model = build("float[3, 2, 24] x", "float[3, 1, 2, 20] y", body, **given)
    quantized = adapter.quantize(model, activation="float", weight=weight, block=block)
    onnx.checker.check_model(quantized, full_check=True)
    assert {"w_quantized", "r_quantized", "b"} <= constants(quantized).keys()
    x = {"x": normal(rng, 3, 2, 24)}
    wanted = run(float_twin(model, quantized), x, merge=False)
    np.testing.assert_allclose(run(quantized, x, merge=False), wanted, atol=1e-6)


@pytest.mark.parametrize("weight", ["int8", "uint8", "int16", "int4"])
@pytest.mark.parametrize("per_channel", [True, False])
def test_rows_of_a_table_are_dequantized_when_looked_up(
    build, rng, run, weight, per_channel
):
    table = normal(rng, 30, 16)
    model = build(
        "int64[N] i", "float[N, 16] y", "{ [look] y = Gather(t, i) }", t=table
    )
    options = {"weight": weight, "weight_method": "minmax", "per_channel": per_channel}
    quantized = adapter.quantize(model, activation="float", **options)
    onnx.checker.check_model(quantized, full_check=True)
    qmax = {"int8": 127, "uint8": 127, "int16": 32767, "int4": 7}[weight]
    axis = 1 if per_channel else None
    scale = np.abs(table).max(axis=axis, keepdims=True) / np.float32(qmax)
    rows = np.array([3, 29, 0, 3])
    wanted = (np.rint(table / scale) * scale)[rows]
    np.testing.assert_array_equal(run(quantized, {"i": rows}), wanted)
    if weight != "int4":  # of which Gather takes no codes
        assert "DequantizeLinear" not in op_types(quantized)
    assert "t" not in constants(quantized)


def test_a_table_is_dequantized_before_the_lookup_for_other_runtimes(build, rng):
    table = normal(rng, 30, 16)
    model = build("int64[N] i", "float[N, 16] y", "{ y = Gather(t, i) }", t=table)
    quantized = adapter.quantize(model, activation="float", target="openvino")
    assert op_types(quantized) == ["DequantizeLinear", "Gather"]


def test_lookups_of_shapes_are_no_tables(build, rng):
    body = "{ s = Shape(x)  n = Gather(s, i)  [m] y = MatMul(x, w)  z = Gather(a, i) }"
    given = {"i": np.int64(0), "w": normal(rng, 8, 8), "a": normal(rng, 20)}
    model = build("float[N, 8] x", "float[N, 8] y, float z", body, **given)
    planned = adapter.plan(model, activation="float")
    assert (planned.stores, planned.kept_float) == (("m",), ())


def test_data_lets_scales_follow_the_output_of_the_layer(build, rng):
    w = normal(rng, 16, 40)
    model = build("float[N, 16] x", "float[N, 40] y", "{ y = MatMul(x, w) }", w=w)
    data = [{"x": x[None] + 3} for x in normal(rng, 8, 16)]
    free = adapter.quantize(model, activation="float", weight="int4")
    led = adapter.quantize(
        model, data, activation="float", weight="int4", recover="none"
    )
    shift = [
        np.abs(read_back(m)["w_dequantized"].sum(axis=0) - w.sum(axis=0)).mean()
        for m in (free, led)
    ]
    assert shift[1] < shift[0] / 2
    seen = adapter.calibrate(model, data, activation="float")
    options = {"activation": "float", "weight": "int4"}
    assert adapter.quantize(model, seen, **options) == led


def test_static_models_store_tables_and_recurrent_weights_too(build, rng, run):
    given = {
        "t": normal(rng, 30, 16),
        "k": normal(rng, 16, 16),
        "w": normal(rng, 1, 80, 16),
        "r": normal(rng, 1, 80, 20),
    }
    body = """{ [look] e = Gather(t, i)  [product] m = MatMul(e, k)
        [lstm] o = LSTM<hidden_size = 20>(m, w, r)  y = Identity(o) }"""
    model = build("int64[N, 1] i", "float[N, 1, 1, 20] y", body, **given)
    data = [{"i": rng.integers(0, 30, (4, 1))} for _ in range(8)]
    quantized = adapter.quantize(model, data)
    assert not given.keys() & constants(quantized).keys()
    planned = adapter.plan(model)
    assert (planned.compute, planned.stores) == (("product",), ("look", "lstm"))
    wanted, got = (run(m, data[0]) for m in (model, quantized))
    assert np.linalg.norm(wanted - got) < 0.05 * np.linalg.norm(wanted)


def test_int4_for_tensorrt_has_blocks(build, rng):
    w = normal(rng, 256, 6)
    model = build("float[N, 256] x", "float[N, 6] y", "{ y = MatMul(x, w) }", w=w)
    quantized = adapter.quantize(model, activation="float", target="tensorrt")
    held = constants(quantized)
    assert (held["w_quantized"].dtype.name, held["w_scale"].shape) == ("int4", (2, 6))


@pytest.mark.parametrize(
    ("target", "options", "said"),
    [
        ("tensorrt", {"weight": "int8"}, "with activation 'float' must be int4; got"),
        ("tensorrt", {"block": 32}, "`block` of tensorrt must be 128 or 64; got 32"),
        ("onnxruntime", {"block": 33}, "must be 16, 32, 64, 128 or 256; got 33"),
        ("openvino", {"weight": "int5"}, "must be int8, uint8, int4 or uint4; got"),
        ("openvino", {"activation": "int16"}, "must be int8, uint8 or float; got"),
        ("openvino", {"activation": "dynamic"}, "must be int8, uint8 or float; got"),
        ("onnxruntime", {"activation": "uint8", "block": 32}, "`block` must be None"),
    ],
)
def test_what_a_target_lacks_is_refused(net, target, options, said):
    with pytest.raises(QuantError, match=said):
        adapter.quantize(net, target=target, **{"activation": "float", **options})


def test_static_scales_need_data(net):
    with pytest.raises(QuantError, match="must be given unless `activation` is"):
        adapter.quantize(net)


def test_channels_of_weights_keep_their_granularity_in_halves(build, rng, run):
    w = normal(rng, 64, 6).astype(np.float16)
    model = build("float16[N, 64] x", "float16[N, 6] y", "{ y = MatMul(x, w) }", w=w)
    quantized = adapter.quantize(model, activation="float", weight="int4", block=32)
    assert constants(quantized)["w_scale"].dtype == np.float16
    run(quantized, {"x": normal(rng, 2, 64).astype(np.float16)})
