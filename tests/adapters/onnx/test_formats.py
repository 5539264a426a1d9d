"""Activations of 16 bits and float8: onnxruntime answers what numpy computes."""

import ml_dtypes
import numpy as np
import onnx
import pytest

from qcore import QuantError, QuantSpec, calibrate
from qcore.adapters import onnx as adapter
from tests.adapters.onnx.graphs import constants, sqnr

FLOATS = ["float8_e4m3fn", "float8_e5m2"]
INTS = ["int16", "uint16"]


@pytest.fixture
def product(build, rng):
    w = rng.normal(size=(16, 12)).astype(np.float32)
    b = rng.normal(size=12).astype(np.float32)
    return build("float[N, 16] x", "float[N, 12] y", "{ y = Gemm(x, w, b) }", w=w, b=b)


@pytest.fixture
def data(rng):
    return [{"x": x} for x in rng.normal(size=(8, 4, 16)).astype(np.float32)]


def read_back(codes, scale, zero_point):
    wide = codes.astype(np.float32) - np.float32(zero_point.astype(np.float32))
    return wide * scale


@pytest.mark.parametrize("activation", FLOATS + INTS)
def test_a_product_is_that_of_numpy(product, data, run, activation):
    quantized = adapter.quantize(product, data, activation=activation)
    onnx.checker.check_model(quantized, full_check=True)
    held, x = constants(quantized), data[0]["x"]
    scale, zero = held["x_scale"], held["x_zero_point"]
    assert zero.dtype.name == activation
    if activation in FLOATS:
        limit = float(ml_dtypes.finfo(zero.dtype).max)
        codes = np.clip(x / scale, -limit, limit).astype(zero.dtype)
    else:
        limits = np.iinfo(zero.dtype)
        steps = np.rint(x / scale) + zero.astype(np.float32)
        codes = np.clip(steps, limits.min, limits.max)
    names = ("w_quantized", "w_scale", "w_zero_point")
    w = read_back(*(held[name] for name in names))
    wanted = read_back(codes, scale, zero) @ w + held["b"]
    for merge in (False, True):
        got = run(quantized, data[0], merge=merge)
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("activation", FLOATS)
@pytest.mark.parametrize(
    "gemm", ["(x, w)", "(x, w, b)", "<transB = 1>(x, w)", "<transA = 1>(w, x, b)"]
)
def test_every_gemm_of_float8_loads_and_answers(build, rng, run, gemm, activation):
    w, v = rng.normal(size=(2, 8, 8)).astype(np.float32)
    given = {"w": w, "v": v, "b": rng.normal(size=8).astype(np.float32)}
    body = f"{{ z = Gemm{gemm} \n y = Gemm(z, v) }}"
    used = {k: a for k, a in given.items() if k != "b" or "b)" in gemm}
    model = build("float[8, 8] x", "float[8, 8] y", body, **used)
    x = {"x": rng.normal(size=(8, 8)).astype(np.float32)}
    quantized = adapter.quantize(model, [x], activation=activation, recover="none")
    got = run(quantized, x)
    np.testing.assert_allclose(run(quantized, x, merge=False), got, atol=1e-4)
    assert sqnr(run(model, x), got) > 18


@pytest.mark.parametrize("activation", FLOATS + INTS)
def test_scales_are_those_of_the_core(product, data, activation):
    seen = adapter.calibrate(product, data, activation=activation)
    held = constants(adapter.quantize(product, seen, activation=activation))
    spec = QuantSpec(activation, symmetric=activation in FLOATS)
    chosen = calibrate(seen["x"], spec, "mse")
    assert held["x_scale"] == chosen.scale
    assert held["x_zero_point"].astype(np.int32) == chosen.zero_point


@pytest.mark.parametrize(
    ("activation", "weight"),
    [
        ("int16", "int8"),
        ("uint16", "int8"),
        ("float8_e4m3fn", "float8_e4m3fn"),
        ("float8_e5m2", "float8_e5m2"),
    ],
)
def test_weights_have_what_goes_with_the_activations(product, data, activation, weight):
    held = constants(adapter.quantize(product, data, activation=activation))
    assert held["w_quantized"].dtype.name == weight


@pytest.mark.parametrize(
    ("options", "opset"),
    [
        ({}, 13),
        ({"activation": "float8_e4m3fn"}, 19),
        ({"activation": "int16"}, 21),
        ({"activation": "float", "weight": "int8"}, 13),
        ({"activation": "float", "weight": "int4"}, 21),
        ({"activation": "float", "block": 16}, 21),
    ],
)
def test_the_opset_is_raised_as_far_as_codes_need(build, rng, data, options, opset):
    w = rng.normal(size=(16, 12)).astype(np.float32)
    body = "{ y = MatMul(x, w) }"
    old = build("float[N, 16] x", "float[N, 12] y", body, opset=9, w=w)
    quantized = adapter.quantize(old, data, **options)
    onnx.checker.check_model(quantized, full_check=True)
    assert quantized.opset_import[0].version == opset


@pytest.mark.parametrize("activation", FLOATS + INTS)
def test_codes_without_kernels_are_where_products_read_them(net, samples, activation):
    quantized = adapter.quantize(net, samples, activation=activation)
    onnx.checker.check_model(quantized, full_check=True)
    nodes = quantized.graph.node
    coded = {
        n.output[0].removesuffix("_quantized")
        for n in nodes
        if n.op_type == "QuantizeLinear"
    }
    products = [n for n in nodes if n.op_type in {"Conv", "Gemm"}]
    assert len(coded) == len(products) == 3
    assert {n.input[0] for n in products} == {f"{name}_dequantized" for name in coded}


@pytest.mark.parametrize(
    ("activation", "least"), [("float8_e5m2", 18), ("float8_e4m3fn", 25), ("int16", 40)]
)
def test_a_network_answers_almost_as_the_float_one(
    net, samples, run, activation, least
):
    weight = "int16" if activation == "int16" else None
    quantized = adapter.quantize(net, samples, activation=activation, weight=weight)
    batch = {"x": np.concatenate([sample["x"] for sample in samples])}
    assert sqnr(run(net, batch), run(quantized, batch)) > least


def test_float8_is_taken_by_tensorrt(product, data):
    options = {"activation": "float8_e4m3fn", "target": "tensorrt"}
    held = constants(adapter.quantize(product, data, **options))
    assert held["w_quantized"].dtype == ml_dtypes.float8_e4m3fn
    with pytest.raises(QuantError, match="must be int8, float8_e4m3fn or float; got"):
        adapter.quantize(product, data, activation="float8_e5m2", target="tensorrt")


@pytest.mark.parametrize("activation", FLOATS + INTS)
def test_onnxruntime_merges_nothing_wrong(build, rng, run, activation):
    w = rng.normal(size=(16, 16)).astype(np.float32)
    body = """{ a = MatMul(x, w)  c = Clip(a, lo, hi)  d = MatMul(c, w)
        e = Clip(d, , hi)  h = MatMul(e, w)  f = Relu(h)  g = MatMul(f, w)
        t = Transpose(g)  s = Reshape(t, shape)  y = MatMul(s, d) }"""
    given = {"w": w, "lo": np.float32(0), "hi": np.float32(6)}
    given["shape"] = np.int64([16, 16])
    model = build("float[16, 16] x", "float[16, 16] y", body, **given)
    data = [{"x": x} for x in rng.normal(size=(8, 16, 16)).astype(np.float32)]
    quantized = adapter.quantize(model, data, activation=activation)
    onnx.checker.check_model(quantized, full_check=True)
    merged, literal = (run(quantized, data[0], merge=m) for m in (True, False))
    np.testing.assert_allclose(merged, literal, rtol=1e-3, atol=1e-2)
    assert sqnr(run(model, data[0]), merged) > 10


@pytest.mark.parametrize("weight", FLOATS)
def test_weights_alone_may_be_float8(build, rng, run, weight):
    w = rng.normal(size=(64, 16)).astype(np.float32)
    body = "{ y = MatMul(x, w) }"
    model = build("float[N, 64] x", "float[N, 16] y", body, w=w)
    x = {"x": rng.normal(size=(4, 64)).astype(np.float32)}
    for block in (None, 32):
        options = {"activation": "float", "weight": weight, "block": block}
        quantized = adapter.quantize(model, **options)
        assert sqnr(run(model, x), run(quantized, x)) > 20


def test_biases_have_room_in_the_codes_that_onnxruntime_makes(build, rng, run):
    w = rng.normal(size=(8, 4, 3, 3)).astype(np.float32) / 1000
    b = rng.normal(size=8).astype(np.float32) * 9
    model = build(
        "float[1, 4, 9, 9] x",
        "float[1, 8, 5, 5] y",
        "{ c = Conv(x, w, b)  y = Conv<group = 8>(c, v) }",
        w=w,
        b=b,
        v=np.ones((8, 1, 3, 3), np.float32),
    )
    data = [{"x": x} for x in rng.normal(size=(8, 1, 4, 9, 9)).astype(np.float32)]
    options = {"activation": "int16", "weight": "int16"}
    quantized = adapter.quantize(model, data, **options)
    for merge in (False, True):
        assert sqnr(run(model, data[0]), run(quantized, data[0], merge=merge)) > 60
