"""Models in bfloat16: onnxruntime has no kernels, ONNX's reference evaluator does."""

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx.numpy_helper import from_array, to_array
from onnx.reference import ReferenceEvaluator

from qcore import QuantSpec
from qcore import calibrate as choose
from qcore.adapters.onnx import calibrate, compare, plan, quantize
from tests.adapters.onnx.corpus.changes import constant_nodes
from tests.adapters.onnx.graphs import all_nodes, constants, initializers, sqnr

SHORT = ml_dtypes.bfloat16
BODY = """{ [conv] c = Conv<pads = [1, 1, 1, 1]>(x, k, b) r = Relu(c)
    [last] d = Conv(r, k2) p = GlobalAveragePool(d) f = Flatten(p)
    [gemm] g = Gemm(f, w, wb) [matmul] y = MatMul(g, v) }"""
ENDS = ("[N, 3, 6, 6] x", "[N, 5] y")
SHAPES = {"k": (8, 3, 3, 3), "b": (8,), "k2": (6, 8, 1, 1), "w": (6, 7), "v": (7, 5)}


def short(array):
    return np.asarray(array).astype(SHORT)


@pytest.fixture
def arrays(rng):
    shapes = {**SHAPES, "wb": (7,)}
    return {
        name: short(rng.normal(size=shape) / np.sqrt(np.prod(shape[1:])))
        for name, shape in shapes.items()
    }


@pytest.fixture
def model(build, arrays):
    ends = (f"bfloat16{end}" for end in ENDS)
    return build(*ends, BODY, opset=22, **arrays)


@pytest.fixture
def data(rng):
    return [{"x": short(x)} for x in rng.normal(size=(4, 2, 3, 6, 6))]


def answer(model, sample):
    (found,) = ReferenceEvaluator(model).run(None, sample)
    assert found.dtype == SHORT
    return found.astype(np.float64)


def widened(model):
    """Return the same numbers in 32 bits."""
    wide = onnx.ModelProto()
    wide.CopyFrom(model)
    graph = wide.graph
    for tensor in graph.initializer:
        array = to_array(tensor)
        if array.dtype == SHORT:
            tensor.CopyFrom(from_array(array.astype(np.float32), tensor.name))
    for value in (*graph.input, *graph.output, *graph.value_info):
        if value.type.tensor_type.elem_type == onnx.TensorProto.BFLOAT16:
            value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    return wide


def test_a_model_in_bfloat16_is_quantized_and_stays_in_it(model, data):
    quantized = quantize(model, data)
    onnx.checker.check_model(quantized, full_check=True)
    assert quantized.graph.input == model.graph.input
    assert quantized.graph.output == model.graph.output
    assert plan(model).compute == ("conv", "last", "gemm", "matmul")
    held = constants(quantized)
    scales = [array for name, array in held.items() if name.endswith("_scale")]
    assert {array.dtype for array in scales} == {np.dtype(SHORT)}
    assert held["k_quantized"].dtype.itemsize == 1
    assert held["wb"].dtype == SHORT  # whose codes have no room
    for sample in data:
        assert sqnr(answer(model, sample), answer(quantized, sample)) > 25


def test_ranges_are_those_of_the_same_numbers_in_32_bits(build, arrays, model, data):
    wide = {name: array.astype(np.float32) for name, array in arrays.items()}
    floats = build(*(f"float{end}" for end in ENDS), BODY, opset=22, **wide)
    seen = calibrate(model, data)
    wanted = calibrate(floats, [{"x": s["x"].astype(np.float32)} for s in data])
    assert list(seen) == list(wanted)
    for name, state in wanted.items():
        np.testing.assert_array_equal(seen[name].counts, state.counts)
    scale = constants(quantize(model, seen))["r_scale"].astype(np.float64)
    exact = choose(wanted["r"], QuantSpec("uint8", symmetric=False)).scale
    assert 0 <= scale - exact < 2**-7 * exact  # rounded up, never down


def test_samples_may_be_in_32_bits(model, data):
    wide = [{"x": s["x"].astype(np.float32)} for s in data]
    assert quantize(model, wide) == quantize(model, data)


def test_recovery_takes_out_errors_in_bfloat16(model, data, run):
    errors = []
    for recover in ("none", "full"):
        # In 32 bits, since what bfloat16 rounds is as large as what codes round.
        twins = [widened(m) for m in (model, quantize(model, data, recover=recover))]
        wide = [{"x": s["x"].astype(np.float32)} for s in data]
        pairs = ([run(twin, sample) for twin in twins] for sample in wide)
        errors.append(sum(np.sum((a - b) ** 2) for a, b in pairs))
    assert errors[1] < errors[0] / 2


@pytest.mark.parametrize(
    ("weight", "rough"), [("int8", 0.02), ("int4", 0.4), ("float8_e4m3fn", 0.1)]
)
def test_weights_are_stored_in_codes_without_data(model, data, weight, rough):
    quantized = quantize(model, activation="float", weight=weight)
    onnx.checker.check_model(quantized, full_check=True)
    assert constants(quantized)["w_scale"].dtype == SHORT
    wanted, got = answer(model, data[0]), answer(quantized, data[0])
    assert np.linalg.norm(wanted - got) < rough * np.linalg.norm(wanted)


@pytest.mark.parametrize("target", ["tensorrt", "openvino"])
def test_other_targets_take_bfloat16(model, data, target):
    quantized = quantize(model, data, target=target)
    onnx.checker.check_model(quantized, full_check=True)
    assert sqnr(answer(model, data[0]), answer(quantized, data[0])) > 25


def test_scales_found_as_the_model_runs_are_those_of_32_bits(model):
    assert {kept.reason for kept in plan(model, activation="dynamic").kept_float} == {
        "ONNX finds scales of 32-bit floats alone"
    }


MIXED = """{ [first] a = MatMul(x, w) z = Cast<to = 1>(a) s = Softmax(z)
    [second] m = MatMul(s, u) q = Cast<to = 16>(m) [third] y = MatMul(q, v) }"""


def test_each_scale_has_the_type_of_its_tensor(build, rng):
    w, u, v = rng.normal(size=(3, 6, 6)) / 2
    given = {"w": short(w), "u": u.astype(np.float32), "v": short(v)}
    model = build("bfloat16[N, 6] x", "bfloat16[N, 6] y", MIXED, opset=19, **given)
    sample = {"x": short(rng.normal(size=(8, 6)))}
    quantized = quantize(model, [sample])
    onnx.checker.check_model(quantized, full_check=True)
    held = constants(quantized)
    types = {name: held[f"{name}_scale"].dtype.name for name in "xwsuqv"}
    assert [types[name] for name in "xwqv"] == ["bfloat16"] * 4
    assert [types[name] for name in "su"] == ["float32"] * 2
    assert sqnr(answer(model, sample), answer(quantized, sample)) > 25


LOOP = """{ h = Loop(n, , x) <body = step (int64 i, bool go, bfloat16[N, 4] s) =>
        (bool more, bfloat16[N, 4] t)
        { more = Identity(go) [inner] m = MatMul(s, v) t = Tanh(m) }>
    [outer] y = MatMul(h, w) }"""


def test_a_loop_in_bfloat16_is_seen_inside(build, rng):
    v, w = short(rng.normal(size=(2, 4, 4)) / 2)
    ends = "bfloat16[N, 4] x, int64 n", "bfloat16[N, 4] y"
    model = build(*ends, LOOP, opset=19, v=v, w=w)
    sample = {"x": short(rng.normal(size=(8, 4))), "n": np.asarray(3)}
    quantized = quantize(model, [sample])
    onnx.checker.check_model(quantized, full_check=True)
    types = [n.op_type for n in all_nodes(quantized.graph)]
    assert types.count("QuantizeLinear") == 2
    assert initializers(quantized.graph)["s_scale"].dtype == SHORT


def test_tensors_of_bfloat16_are_compared(model, data):
    found = compare(model, quantize(model, data), data)
    assert {tensor.name for tensor in found.tensors} == {*"cdfgprx"}
    assert found.outputs[0].sqnr > 25


def test_rounded_floats_are_in_bfloat16(model, data):
    quantized = quantize(model, data, activation="int8", fake=True)
    onnx.checker.check_model(quantized, full_check=True)
    assert constants(quantized)["w_rounded"].dtype == SHORT
    assert sqnr(answer(model, data[0]), answer(quantized, data[0])) > 25


def test_constants_in_nodes_are_of_bfloat16_too(build, rng):
    ends, body = "bfloat16[N, 6] {}", "{ a = MatMul(x, w) y = MatMul(a, w) }"
    w = short(rng.normal(size=(6, 6)) / 2)
    model = build(ends.format("x"), ends.format("y"), body, opset=19, w=w)
    constant_nodes(model)
    sample = {"x": short(rng.normal(size=(8, 6)))}
    quantized = quantize(model, [sample])
    assert constants(quantized)["w_scale"].dtype == SHORT
    assert sqnr(answer(model, sample), answer(quantized, sample)) > 20
