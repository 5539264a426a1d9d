"""Codes that a model turns into reals and back, and constants that it quantizes."""

import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest

from qcore.adapters import onnx as adapter

Q, D = "QuantizeLinear", "DequantizeLinear"
CODES = "a = QuantizeLinear(x, s, z)"
AGAIN = f"{CODES} \n b = DequantizeLinear(a, s, z) \n c = QuantizeLinear(b, s2, z2)"
REALS = "y = DequantizeLinear(c, s2, z2)"
GRID = {"s": np.float32(0.03), "z": np.uint8(7)}
EQUAL = {**GRID, "s2": GRID["s"], "z2": GRID["z"]}
CHANNELS = {
    "s": np.linspace(0.01, 0.2, 6, dtype=np.float32),
    "z": np.arange(6, dtype=np.uint8),
}


@pytest.fixture
def operators(rng, build):
    """Return what is left of a body that is kept, whose answers must stay the same.

    Beside it there is a product, for something must be there to be quantized.
    """

    def operators(body, more="", opset=21, **given):
        w = rng.normal(size=(6, 6)).astype(np.float32)
        model = build(
            "float[64, 6] x",
            f"float[64, 6] y, float[64, 6] product{more}",
            f"{{ {body} \n product = MatMul(x, w) }}",
            opset,
            w=w,
            **given,
        )
        done = adapter.quantize(model, activation="float", keep_existing=True)
        feed = {"x": rng.normal(size=(64, 6)).astype(np.float32) * 4}
        for before, after in zip(
            answers(model, feed), answers(done, feed), strict=True
        ):
            np.testing.assert_array_equal(before, after)
        graph = ir.from_proto(done).graph
        return [node.op_type for node in graph.all_nodes()][:-2]

    return operators


def answers(model, feed):
    """Return all but the product, which is quantized."""
    options = onnxruntime.SessionOptions()
    level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.graph_optimization_level = level
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    named = [output.name for output in session.get_outputs()]
    return session.run([name for name in named if name != "product"], feed)


def test_what_is_decoded_and_encoded_again_is_neither(operators):
    assert operators(f"{AGAIN} \n {REALS}", **EQUAL) == [Q, D]


def test_so_it_is_with_a_grid_for_each_channel(operators):
    other = {"s2": CHANNELS["s"], "z2": CHANNELS["z"]}
    assert operators(f"{AGAIN} \n {REALS}", **CHANNELS, **other) == [Q, D]


@pytest.mark.parametrize(
    "other",
    [
        {"s2": np.float32(0.030001)},
        {"z2": np.uint8(8)},
        {"z2": np.int8(7)},
        {"s": np.float32(2e36), "s2": np.float32(2e36)},
    ],
    ids=["scale", "zero point", "type", "reals overflow"],
)
def test_codes_of_another_grid_or_of_infinite_reals_stay(operators, other):
    kept = operators(f"{AGAIN} \n {REALS}", **{**EQUAL, **other})
    assert kept == [Q, D, Q, D]


def test_scales_along_another_axis_are_another_grid(operators):
    body = """square = Slice(x, begin, end)
    a = QuantizeLinear<axis = 0>(square, s, z)
    b = DequantizeLinear<axis = 0>(a, s, z)
    c = QuantizeLinear<axis = 1>(b, s, z)
    d = DequantizeLinear<axis = 1>(c, s, z)
    sum = ReduceSum(d, begin)
    y = Add(x, sum)"""
    left = operators(body, **CHANNELS, begin=np.array([0]), end=np.array([6]))
    assert left[1:5] == [Q, D, Q, D]


def test_others_who_read_the_reals_still_do(operators):
    body = f"{AGAIN} \n {REALS} \n other = Relu(b)"
    left = operators(body, ", float[64, 6] other", **EQUAL)
    assert sorted(left) == sorted([Q, D, D, "Relu"])


def test_codes_that_the_model_gives_are_still_given(operators):
    body = f"{AGAIN} \n {REALS}"
    left = operators(body, ", uint8[64, 6] c", **EQUAL)
    assert left == [Q, D, Q, D]


def test_what_nobody_reads_is_dropped(operators):
    assert operators(f"{AGAIN} \n y = Relu(x)", **EQUAL) == ["Relu"]


def test_pairs_in_bodies_are_skipped_too(operators):
    body = f"""some = ReduceMax<keepdims = 0>(x)
    is_large = Greater(some, zero)
    y = If(is_large) <
        then_branch = yes () => (float[64, 6] d)
            {{ {AGAIN} \n d = DequantizeLinear(c, s2, z2) }},
        else_branch = no () => (float[64, 6] e) {{ e = Relu(x) }}
    >"""
    assert operators(body, zero=np.float32(0), **EQUAL) == [
        "ReduceMax",
        "Greater",
        "If",
        *(Q, D, "Relu"),
    ]


@pytest.mark.parametrize(
    ("dtype", "real"),
    [
        ("uint8", np.float32),
        ("int16", np.float32),
        ("uint16", np.float32),
        ("int8", np.float16),
    ],
)
def test_each_code_comes_back_by_onnxruntime_s_own_arithmetic(build, rng, dtype, real):
    limits = np.iinfo(dtype)
    codes = np.arange(limits.min, limits.max + 1, dtype=dtype)
    tiny = float(np.finfo(real).tiny)
    scales = [tiny, *rng.uniform(tiny, 1, 20), *np.exp2(rng.uniform(-6, 6, 20))]
    body = "{ b = DequantizeLinear(x, s, z) \n y = QuantizeLinear(b, s, z) }"
    for scale in scales:
        zero = rng.choice(codes)
        given = {"s": real(scale), "z": zero}
        ends = f"{dtype}[{len(codes)}] x", f"{dtype}[{len(codes)}] y"
        (found,) = answers(build(*ends, body, 21, **given), {"x": codes})
        np.testing.assert_array_equal(found, codes)


@pytest.mark.parametrize("axis", [None, 0, 1])
def test_constants_are_stored_as_the_codes_that_they_become(operators, rng, axis):
    scale = 0.02 if axis is None else rng.uniform(0.001, 0.02, (3, 6)[axis])
    grid = {"s": np.float32(scale), "z": np.full_like(scale, 3, np.int8)}
    ties = np.arange(-9, 9, dtype=np.float32).reshape(3, 6) / 100
    place = "" if axis is None else f"<axis = {axis}>"
    body = f"""a = QuantizeLinear{place}(v, s, z)
    b = DequantizeLinear{place}(a, s, z)
    sum = ReduceSum(b, first)
    y = Add(x, sum)"""
    left = operators(body, v=ties, first=np.array([0]), **grid)
    assert left == [D, "ReduceSum", "Add"]


@pytest.mark.parametrize("precision", ["", "<precision = 10>"])  # of float16
def test_quotients_of_fewer_bits_round_to_other_codes(build, rng, precision):
    again = AGAIN.replace("QuantizeLinear(b", f"QuantizeLinear{precision}(b")
    w = rng.normal(size=(6, 6)).astype(np.float32)
    model = build(
        "float[64, 6] x",
        "float[64, 6] y, float[64, 6] product",
        f"{{ {again} \n {REALS} \n product = MatMul(x, w) }}",
        23,
        w=w,
        **EQUAL,
    )
    done = adapter.quantize(model, activation="float", keep_existing=True)
    encoding = [node for node in done.graph.node if node.op_type == Q]
    assert len(encoding) == (2 if precision else 1)
