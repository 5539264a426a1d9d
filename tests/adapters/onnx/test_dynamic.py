"""Scales found when the model runs: onnxruntime answers what numpy computes."""

import numpy as np
import onnx
import onnxruntime
import pytest

from qcore import QuantError
from qcore.adapters import onnx as adapter
from tests.adapters.onnx.graphs import constants, sqnr


def normal(rng, *shape):
    return rng.normal(size=shape).astype(np.float32)


def op_types(model):
    return [node.op_type for node in model.graph.node]


def dynamic(x):
    """Return codes, scale and zero point as DynamicQuantizeLinear is defined."""
    lo, hi = min(x.min(), np.float32(0)), max(x.max(), np.float32(0))
    scale = (hi - lo) / np.float32(255)
    zero_point = np.clip(np.rint((0 - lo) / scale), 0, 255)
    codes = np.clip(np.rint(x / scale) + zero_point, 0, 255)
    return codes.astype(np.int64), scale, int(zero_point)


def alternating(axes, shape):
    """Return signs that change from one place to the next along some axes."""
    places = np.moveaxis(np.indices(shape)[list(np.atleast_1d(axes))], 0, -1)
    return np.float32(1 - 2 * (places.sum(-1) % 2))


@pytest.mark.parametrize("weight", ["int8", "uint8"])
@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize(
    ("body", "turned"),
    [
        ("[product] m = MatMul(x, w)  y = Add(m, b)", False),
        ("[product] y = Gemm(x, w, b)", False),
        ("[product] y = Gemm<transB = 1>(x, w, b)", True),
    ],
)
def test_a_product_is_that_of_numpy(build, rng, run, body, turned, weight, per_channel):
    w, b = normal(rng, 12, 16) if turned else normal(rng, 16, 12), normal(rng, 12)
    # Of these no two of one sign lie side by side, so any fit together.
    w = np.abs(w) * alternating(1 if turned else 0, w.shape)
    model = build("float[N, 16] x", "float[N, 12] y", f"{{ {body} }}", w=w, b=b)
    quantized = adapter.quantize(
        model,
        activation="dynamic",
        weight=weight,
        weight_method="minmax",
        per_channel=per_channel,
    )
    onnx.checker.check_model(quantized, full_check=True)
    assert "MatMulInteger" in op_types(quantized)
    x = normal(rng, 5, 16)
    codes, scale, zero_point = dynamic(x)
    matrix = w.T if turned else w
    largest = np.abs(matrix).max(axis=0 if per_channel else None)
    w_scale = largest / np.float32(127)
    sums = (codes - zero_point) @ np.rint(matrix / w_scale).astype(np.int64)
    wanted = sums.astype(np.float32) * (scale * w_scale) + b
    for merge in (False, True):
        got = run(quantized, {"x": x}, merge=merge)
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("attributes", ["", "<pads = [1, 0, 1, 1], strides = [2, 1]>"])
@pytest.mark.parametrize("weight", ["int8", "uint8"])
def test_a_convolution_is_that_of_rounded_numbers(build, rng, run, attributes, weight):
    w, b = normal(rng, 6, 4, 3, 3), normal(rng, 6)
    body = f"{{ [product] y = Conv{attributes}(x, w, b) }}"
    model = build("float[1, 4, 9, 9] x", "float[A, B, C, D] y", body, w=w, b=b)
    options = {"weight": weight, "weight_method": "minmax"}
    quantized = adapter.quantize(model, activation="dynamic", **options)
    onnx.checker.check_model(quantized, full_check=True)
    x = normal(rng, 1, 4, 9, 9)
    codes, scale, zero_point = dynamic(x)
    w_scale = np.abs(w).max(axis=(1, 2, 3), keepdims=True) / np.float32(127)
    # Whole numbers, whose products floats hold exactly; then the float one with scales.
    (tensor,) = (t for t in model.graph.initializer if t.name == "w")
    tensor.CopyFrom(onnx.numpy_helper.from_array(np.rint(w / w_scale), "w"))
    (tensor,) = (t for t in model.graph.initializer if t.name == "b")
    tensor.CopyFrom(onnx.numpy_helper.from_array(np.zeros_like(b), "b"))
    sums = run(model, {"x": (codes - zero_point).astype(np.float32)})
    wanted = sums * (scale * w_scale.reshape(6, 1, 1)) + b.reshape(6, 1, 1)
    got = run(quantized, {"x": x})
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5)


def test_weights_of_convolutions_are_unsigned(build, rng):
    # Signed ones take onnxruntime's ConvInteger ten times as long.
    w, v = normal(rng, 6, 4, 3, 3), normal(rng, 7, 5)
    body = "{ [product] c = Conv(x, w)  y = MatMul(c, v) }"
    model = build("float[1, 4, 9, 9] x", "float[1, 6, 7, 5] y", body, w=w, v=v)
    left = constants(adapter.quantize(model, activation="dynamic"))
    found = {left[name].dtype.name for name in left if name.endswith("_quantized")}
    assert found == {"uint8", "int8"}


def test_a_tensor_is_quantized_once_for_all_that_read_it(build, rng):
    w, v = normal(rng, 8, 8), normal(rng, 8, 8)
    body = "{ a = MatMul(x, w)  b = MatMul(x, v)  y = Add(a, b) }"
    model = build("float[N, 8] x", "float[N, 8] y", body, w=w, v=v)
    quantized = adapter.quantize(model, activation="dynamic")
    assert op_types(quantized).count("DynamicQuantizeLinear") == 1


def test_onnxruntime_merges_it_all(build, rng, tmp_path):
    w, b = normal(rng, 16, 12), normal(rng, 12)
    body = "{ m = MatMul(x, w)  y = Add(m, b) }"
    model = build("float[N, M, 16] x", "float[N, M, 12] y", body, w=w, b=b)
    quantized = adapter.quantize(model, activation="dynamic")
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "executed.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(quantized.SerializeToString(), options)
    executed = onnx.load(options.optimized_model_filepath)
    assert op_types(executed) == ["DynamicQuantizeMatMul"]


def test_a_network_answers_almost_as_the_float_one(net, samples, run):
    quantized = adapter.quantize(net, activation="dynamic")
    onnx.checker.check_model(quantized, full_check=True)
    assert op_types(quantized).count("ConvInteger") == 2
    assert sqnr(run(net, samples[0]), run(quantized, samples[0])) > 30


def test_names_of_nodes_inputs_and_outputs_stay(net):
    quantized = adapter.quantize(net, activation="dynamic")
    names = {node.name for node in quantized.graph.node}
    assert {node.name for node in net.graph.node} <= names
    assert quantized.graph.input == net.graph.input
    assert quantized.graph.output == net.graph.output


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("y = MatMul(x, x)", "its second operand is no constant"),
        ("y = MatMul(w, x)", "its second operand is no constant"),
        ("y = Gemm<transA = 1>(x, w)", "or its first is transposed"),
    ],
)
def test_what_has_no_such_kernel_stays_float(build, rng, body, reason):
    text = f"{{ [able] z = MatMul(x, v)  [left] {body} }}"
    given = {"v": normal(rng, 8, 8)} | ({"w": normal(rng, 8, 8)} if "w" in body else {})
    model = build("float[8, 8] x", "float[8, 8] y, float[8, 8] z", text, **given)
    planned = adapter.plan(model, activation="dynamic")
    assert planned.compute == ("able",)
    (left,) = planned.kept_float
    assert (left.node, reason in left.reason) == ("left", True)


def test_halves_stay_as_they_are(build, rng):
    w = normal(rng, 8, 8).astype(np.float16)
    model = build("float16[N, 8] x", "float16[N, 8] y", "{ y = MatMul(x, w) }", w=w)
    with pytest.raises(QuantError, match="ONNX finds scales of 32-bit floats alone"):
        adapter.quantize(model, activation="dynamic")


def test_tables_are_stored_in_codes_as_well(build, rng, run):
    t, w = normal(rng, 30, 16), normal(rng, 16, 8)
    body = "{ e = Gather(t, i)  y = MatMul(e, w) }"
    model = build("int64[N] i", "float[N, 8] y", body, t=t, w=w)
    quantized = adapter.quantize(model, activation="dynamic")
    assert not {"t", "w"} & constants(quantized).keys()
    rows = {"i": np.array([1, 2, 29])}
    assert sqnr(run(model, rows), run(quantized, rows)) > 30
