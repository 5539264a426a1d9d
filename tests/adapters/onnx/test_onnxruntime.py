"""What the graphs are shaped for: onnxruntime runs them in integers."""

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from qcore.adapters.onnx import quantize


@pytest.fixture
def kernels(tmp_path: Path):
    """Count the operators of a model as onnxruntime executes it."""

    def kernels(model: onnx.ModelProto) -> Counter[str]:
        options = onnxruntime.SessionOptions()
        options.optimized_model_filepath = str(tmp_path / "executed.onnx")
        options.log_severity_level = 3  # it warns that this file fits one machine only
        onnxruntime.InferenceSession(model.SerializeToString(), options)
        executed = onnx.load(options.optimized_model_filepath)
        return Counter(node.op_type for node in executed.graph.node)

    return kernels


def test_a_residual_network_runs_in_integers_from_end_to_end(net, samples, kernels):
    run = kernels(quantize(net, samples))
    assert run["QLinearConv"] == 2
    assert run["QLinearAdd"] == run["QLinearGlobalAveragePool"] == run["QGemm"] == 1
    assert not {"Conv", "FusedConv", "Gemm", "Add", "Relu", "MaxPool"} & run.keys()
    assert (run["QuantizeLinear"], run["DequantizeLinear"]) == (1, 0)


def test_products_with_float_results_run_in_integers(build, rng, kernels):
    w = rng.normal(size=(4, 4)).astype(np.float32)
    body = "{ a = MatMul(x, w)  s = Softmax(a)  y = MatMul(s, x) }"
    model = build("float[2, 4, 4] x", "float[2, 4, 4] y", body, w=w)
    data = [{"x": rng.normal(size=(2, 4, 4))}]
    for recover in ("none", "full"):
        run = kernels(quantize(model, data, recover=recover))
        assert run["MatMulIntegerToFloat"] == 2


@pytest.mark.parametrize("recover", ["none", "full"])
def test_stacks_of_products_with_a_bias_run_in_integers(build, rng, kernels, recover):
    w, b = rng.normal(size=(2, 4, 4)).astype(np.float32)
    body = "{ a = MatMul(x, w)  s = Add(a, b)  y = Softmax(s) }"
    model = build("float[2, 4, 4] x", "float[2, 4, 4] y", body, w=w, b=b[0])
    data = [{"x": rng.normal(size=(2, 4, 4))}]
    run = kernels(quantize(model, data, recover=recover))
    assert run["MatMulIntegerToFloat"] == 1
    assert not run["Gemm"]


def test_a_matmul_with_a_bias_runs_in_integers(build, rng, kernels):
    w, b = rng.normal(size=(5, 4, 4)).astype(np.float32)[:2]
    body = "{ a = MatMul(x, w)  y = Add(a, b) }"
    model = build("float[4, 4] x", "float[4, 4] y", body, w=w, b=b[:1])
    run = kernels(quantize(model, [{"x": rng.normal(size=(4, 4))}]))
    assert run["QGemm"] == 1


def test_joined_branches_run_in_integers(build, rng, kernels):
    w = rng.normal(size=(4, 4, 1, 1)).astype(np.float32)
    k = rng.normal(size=(8, 3)).astype(np.float32)
    body = """{
        a = Conv(x, w)  r = Relu(a)  c = Conv(x, w)
        j = Concat<axis = 1>(r, c)  m = GlobalAveragePool(j)
        f = Flatten(m)  y = Gemm(f, k)
    }"""
    model = build("float[1, 4, 6, 6] x", "float[1, 3] y", body, w=w, k=k)
    run = kernels(quantize(model, [{"x": rng.normal(size=(1, 4, 6, 6))}]))
    assert (run["QLinearConcat"], run["QGemm"]) == (1, 1)


@pytest.mark.parametrize(
    ("body", "kernel"),
    [
        ("d = Mul(c, e)", "QLinearMul"),
        ("d = Sigmoid(c)", "QLinearSigmoid"),
        ("d = LeakyRelu(c)", "QLinearLeakyRelu"),
        ("s = Sigmoid(c)  d = Mul(c, s)", "QLinearMul"),
        ("f, g = Split<axis = 1>(c, halves)  d = Concat<axis = 1>(g, f)", "Split"),
        ("d = Resize(c, , twice)", "Resize"),
        ("d = Gather<axis = 2>(c, halves)", "Gather"),
        ("d = Expand(c, shape)", "Expand"),
        ("d = Tile(c, shape)", "Tile"),
        ("d = ReduceMax<axes = [2]>(c)", "ReduceMax"),
        ("f = Identity(c)  d = Dropout(f)", "QLinearConv"),
    ],
)
def test_between_products_operators_run_on_codes(build, rng, kernels, body, kernel):
    constants = {
        "w": rng.normal(size=(4, 4, 1, 1)).astype(np.float32),
        "k": rng.normal(size=(4, 4, 1, 1)).astype(np.float32),
        "halves": np.int64([2, 2]),
        "twice": np.float32([1, 1, 2, 2]),
        "shape": np.int64([2, 1, 1, 1]),
    }
    text = f"c = Conv(x, w)  e = Conv(x, k)  {body}  h = Conv(d, k)"
    text += "  m = GlobalAveragePool(h)  f9 = Flatten(m)  y = Gemm(f9, p)"
    used = {name: a for name, a in constants.items() if name in text}
    p = rng.normal(size=(4, 3)).astype(np.float32)
    model = build("float[1, 4, 6, 6] x", "float[N, 3] y", f"{{{text}}}", p=p, **used)
    run = kernels(quantize(model, [{"x": rng.normal(size=(1, 4, 6, 6))}]))
    assert run[kernel] >= 1
    assert (run["QuantizeLinear"], run["DequantizeLinear"]) == (1, 0)


def test_a_resize_that_interpolates_stays_float(build, rng, kernels):
    w = rng.normal(size=(4, 4, 1, 1)).astype(np.float32)
    body = """{ c = Conv(x, w)  d = Resize<mode = "linear">(c, , twice)  h = Conv(d, w)
        m = GlobalAveragePool(h)  f = Flatten(m)  y = Gemm(f, p) }"""
    twice, p = np.float32([1, 1, 2, 2]), w[:, :3, 0, 0]
    shapes = ("float[1, 4, 6, 6] x", "float[N, 3] y")
    model = build(*shapes, body, w=w, twice=twice, p=p)
    run = kernels(quantize(model, [{"x": rng.normal(size=(1, 4, 6, 6))}]))
    assert (run["QuantizeLinear"], run["DequantizeLinear"]) == (2, 1)


def test_integer_kernels_give_what_the_graph_says(net, samples, run):
    quantized = quantize(net, samples)
    merged, literal = (run(quantized, samples[0], merge=m) for m in (True, False))
    # Kernels round what the graph rounds, but in float32 sums of another order.
    np.testing.assert_allclose(merged, literal, atol=np.abs(literal).max() / 50)


@pytest.mark.parametrize("recover", ["none", "full"])
def test_a_bias_leaves_room_for_the_products_added_to_it(
    build, rng, run, kernels, recover
):
    w = rng.normal(size=(4, 3, 3, 3)).astype(np.float32)
    w[1] *= 1e-6  # a channel that has died, as those of public models have
    b = np.array([0.1, -4.32, 0.2, -0.3], np.float32)
    only = np.zeros((4, 2), np.float32)
    only[1] = 50, -50  # which sees nothing but that channel
    body = "{ c = Conv(x, w, b)  r = Relu(c)  p = GlobalAveragePool(r)  f = Flatten(p) "
    ends = "float[N, 3, 8, 8] x", "float[N, 2] y"
    model = build(*ends, f"{body} y = MatMul(f, k) }}", w=w, b=b, k=only)
    data = [{"x": rng.normal(size=(1, 3, 8, 8)).astype(np.float32)} for _ in range(8)]
    found = quantize(model, data, recover=recover)
    assert "QLinearConv" in kernels(found)
    for sample in data:
        assert (run(found, sample) == 0).all()
