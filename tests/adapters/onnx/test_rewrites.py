"""Rewrites before calibration change operators, and no result."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from qcore import QuantError
from qcore.adapters.onnx.prepare import prepare
from tests.adapters.onnx.corpus import CASES, model_of, samples_of
from tests.adapters.onnx.test_corpus import run as run_all

IMAGE = "float[1, 4, 6, 6] x"
NORM = ("gamma", "beta", "mean", "var")


@pytest.mark.parametrize("name", [n for n, case in CASES.items() if not case.by_all])
def test_a_prepared_model_gives_what_it_gave(name):
    model, samples = model_of(name), samples_of(name, 2)
    prepared = ir.to_proto(prepare(model))
    halves = any(x.dtype == np.float16 for x in samples[0].values()) or "half" in name
    for wanted, got in zip(
        run_all(model, samples), run_all(prepared, samples), strict=True
    ):
        bound = (1e-2 if halves else 1e-5) * np.abs(wanted).max()
        np.testing.assert_allclose(got, wanted, rtol=0, atol=bound + 1e-6)


@pytest.fixture
def operators(build, rng, run):
    """Return what is left of a body on images or rows; its results must be the same."""

    def operators(body, inputs=IMAGE, rank=4, **constants):
        given = {
            name: rng.normal(size=value).astype(np.float32)
            if isinstance(value, tuple)
            else value
            for name, value in constants.items()
        }
        output = f"float[{', '.join('ABCD'[:rank])}] y"
        model = build(inputs, output, f"{{{body}}}", **given)
        prepared = ir.to_proto(prepare(model))
        onnx.checker.check_model(prepared, full_check=True)
        (x,) = model.graph.input
        shape = [d.dim_value for d in x.type.tensor_type.shape.dim]
        feed = {"x": rng.normal(size=shape).astype(np.float32)}
        wanted, got = run(model, feed), run(prepared, feed)
        np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-4)
        return [node.op_type for node in prepared.graph.node]

    return operators


def norm(channels, rng):
    values = {name: rng.normal(size=channels).astype(np.float32) for name in NORM}
    return {**values, "var": np.abs(values["var"]) + 0.1}


@pytest.mark.parametrize(
    "body",
    [
        "c = Conv(x, w)  y = Mul(c, k)",
        "c = Conv(x, w, b)  y = Div(c, k)",
        "c = Conv(x, w, b)  y = Sub(c, k)",
        "c = Conv(x, w, b)  y = Sub(k, c)",
        "c = Conv(x, w, b)  d = Add(k, c)  e = Mul(d, k)  y = Sub(e, k)",
    ],
)
def test_arithmetic_with_constants_goes_into_the_conv_before(operators, body):
    given = {"w": (5, 4, 3, 3), "b": (5,), "k": (1, 5, 1, 1)}
    assert operators(body, **{k: v for k, v in given.items() if k in body}) == ["Conv"]


@pytest.mark.parametrize("body", ["m = MatMul(x, w)  y = Div(m, k)"])
def test_a_stack_of_products_is_scaled_in_the_weight(operators, body):
    given = {"w": (4, 5), "k": (5,)}
    assert operators(body, "float[2, 3, 4] x", 3, **given) == ["MatMul"]


def test_a_constant_divided_by_a_product_stays(operators):
    body = "c = Conv(x, w)  d = Exp(c)  g = Conv(d, w)  y = Div(k, g)"
    w = np.eye(4, dtype=np.float32).reshape(4, 4, 1, 1)
    assert operators(body, w=w, k=(1,)) == ["Conv", "Exp", "Conv", "Div"]


@pytest.mark.parametrize(
    ("body", "left"),
    [
        ("n = BatchNormalization(x, gamma, beta, mean, var)  y = Conv(n, w)", []),
        ("n = BatchNormalization(x, gamma, beta, mean, var)  y = Conv(n, w, b)", []),
        (
            "n = BatchNormalization(x, gamma, beta, mean, var)"
            '  y = Conv<auto_pad = "SAME_UPPER">(n, w)',
            ["BatchNormalization"],
        ),
        (
            "n = BatchNormalization(x, gamma, beta, mean, var)"
            "  y = Conv<pads = [1, 0, 0, 0]>(n, w)",
            ["BatchNormalization"],
        ),
        ("n = Mul(x, k)  y = Conv<pads = [1, 1, 1, 1]>(n, w)", []),
        ("n = Sub(x, k)  y = Conv<group = 2>(n, v, b)", []),
    ],
)
def test_what_is_done_to_channels_goes_into_the_conv_behind(operators, rng, body, left):
    given = {"w": (6, 4, 3, 3), "v": (6, 2, 3, 3), "b": (6,), "k": (4, 1, 1)}
    given |= norm(4, rng)
    used = {name: value for name, value in given.items() if name in body}
    assert operators(body, **used) == [*left, "Conv"]


@pytest.mark.parametrize(
    ("body", "left"),
    [
        ("n = Add(x, k)  y = MatMul(n, w)", ["Gemm"]),
        ("n = Mul(x, k)  y = Gemm<transB = 1>(n, v, b)", ["Gemm"]),
        ("n = BatchNormalization(x, gamma, beta, mean, var)  y = Gemm(n, w)", ["Gemm"]),
        ("n = Mul(x, k)  y = Gemm<transA = 1>(n, u)", ["Mul", "Gemm"]),
        ("n = Mul(x, k)  m = MatMul(n, w)  y = Concat<axis = 1>(n, m)", None),
    ],
)
def test_what_is_done_to_columns_goes_into_the_matrix_behind(
    operators, rng, body, left
):
    given = {"w": (4, 5), "v": (5, 4), "u": (3, 5), "b": (5,), "k": (1, 4)}
    given |= norm(4, rng)
    used = {
        name: value
        for name, value in given.items()
        if f"{name})" in body or f"{name}," in body
    }
    assert operators(body, "float[3, 4] x", 2, **used) == (
        left or ["Mul", "MatMul", "Concat"]
    )


@pytest.mark.parametrize(
    ("body", "left"),
    [
        ("p = Pad(x, pads)  y = Conv<pads = [0, 1, 0, 1]>(p, w)", []),
        ("p = Pad(x, pads, zero)  y = Conv(p, w)", []),
        ('p = Pad(x, pads)  y = Conv<auto_pad = "VALID">(p, w)', []),
        ('p = Pad(x, pads)  y = Conv<auto_pad = "SAME_LOWER">(p, w)', ["Pad"]),
        ("p = Pad(x, pads, one)  y = Conv(p, w)", ["Pad"]),
        ('p = Pad<mode = "edge">(x, pads)  y = Conv(p, w)', ["Pad"]),
        ("p = Pad(x, cut)  y = Conv(p, w)", ["Pad"]),
        ("p = Pad(x, deep)  y = Conv(p, v)", ["Pad"]),
    ],
)
def test_zeros_around_an_image_are_padded_by_the_conv(operators, body, left):
    given = {
        "w": (5, 4, 3, 3),
        "v": (5, 6, 3, 3),
        "pads": np.int64([0, 0, 1, 0, 0, 0, 2, 3]),
        "cut": np.int64([0, 0, -1, 0, 0, 0, 2, 3]),
        "deep": np.int64([0, 1, 0, 0, 0, 1, 0, 0]),
        "zero": np.float32(0),
        "one": np.float32(1),
    }
    used = {name: value for name, value in given.items() if f" {name}" in body}
    assert operators(body, **used) == [*left, "Conv"]


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("y = ReduceMean<axes = [2, 3]>(x)", ["GlobalAveragePool"]),
        (
            "y = ReduceMean<axes = [3, -2], keepdims = 0>(x)",
            ["GlobalAveragePool", "Flatten"],
        ),
        ("y = ReduceMean<axes = [1]>(x)", ["ReduceMean"]),
        ("y = ReduceMean(x)", ["ReduceMean"]),
    ],
)
def test_a_mean_over_all_places_is_a_pool(operators, body, found):
    assert operators(body, rank=2 if "keepdims" in body else 4) == found


@pytest.mark.parametrize(
    ("attributes", "left"),
    [("alpha = 0.5, beta = 2.0", set()), ("beta = 0.0", set()), ("alpha = 0.5", set())],
)
def test_factors_of_a_gemm_go_into_its_constants(build, rng, run, attributes, left):
    w, b = (rng.normal(size=n).astype(np.float32) for n in ((4, 5), 5))
    body = f"{{ y = Gemm<{attributes}>(x, w, b) }}"
    model = build("float[3, 4] x", "float[3, 5] y", body, w=w, b=b)
    prepared = prepare(model)
    assert set(prepared.graph[0].attributes) == left
    x = {"x": rng.normal(size=(3, 4)).astype(np.float32)}
    got, wanted = run(ir.to_proto(prepared), x), run(model, x)
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "body",
    [
        "y = BatchNormalization<training_mode = 1>(x, s, s, s, s)",
        "t = Constant<value_int = 1>()  b = Cast<to = 9>(t)  y = Dropout(x, , b)",
    ],
)
def test_a_model_that_learns_is_refused(build, body):
    used = {"s": np.ones(4, np.float32)} if " s" in body else {}
    model = build(IMAGE, "float[1, 4, 6, 6] y", f"{{{body}}}", **used)
    with pytest.raises(QuantError, match="of 'y' is in training mode"):
        prepare(model)
