"""Weights side by side, as the kernels of x86 without VNNI multiply them.

These are written down here once more, from what the instruction vpmaddubsw does: it
adds the products of codes 2i and 2i + 1 in 16 bits, and saturates.
"""

import numpy as np
import pytest
from onnx_ir import node

from qcore.adapters import onnx as adapter
from qcore.adapters.onnx.neighbours import Neighbours
from tests.adapters.onnx.graphs import constants

CONVOLUTIONS = [
    ((8, 4, 3, 3), 1),
    ((8, 3, 3, 3), 1),
    ((6, 5, 1, 1), 1),
    ((4, 3, 5), 1),
    ((6, 2, 2, 3), 3),
    ((8, 1, 3, 3), 4),
    ((3, 3, 2, 3, 2), 1),
]


def saturated(codes):
    """Return what the sums over rows of codes lose, activations being 255 or 0."""
    rows = codes.reshape(len(codes), -1).astype(np.int64)
    if rows.shape[1] % 2:
        rows = np.pad(rows, ((0, 0), (0, 1)))
    pairs = 255 * rows.reshape(len(rows), -1, 2)
    # The worst are inputs that leave out all weights of one sign.
    return [
        np.clip(part.sum(-1), -(2**15), 2**15 - 1).sum(-1) - part.sum((-1, -2))
        for part in (np.maximum(pairs, 0), np.minimum(pairs, 0))
    ]


def heavy(rng, shape):
    return (rng.standard_normal(shape) * np.exp(rng.standard_normal(shape))).astype(
        np.float32
    )


def network(build, rng, shape, group):
    """Return a network whose first layer is a convolution of positive numbers."""
    spatial = ", ".join(["7"] * (len(shape) - 2))
    ones = ", ".join(["1"] * (len(shape) - 2))
    channels = shape[1] * group
    body = f"""{{
        r = Relu(x)
        [first] c = Conv<group = {group}>(r, w)
        d = Relu(c)
        y = Conv<kernel_shape = [{ones}]>(d, v)
    }}"""
    rank = ", ".join("ABCDE"[: len(shape)])
    last = heavy(rng, (2, shape[0], *[1] * (len(shape) - 2)))
    return build(
        f"float[1, {channels}, {spatial}] x",
        f"float[{rank}] y",
        body,
        w=heavy(rng, shape),
        v=last,
    ), {"x": np.abs(heavy(rng, (1, channels, *[7] * (len(shape) - 2))))}


@pytest.mark.parametrize("recover", ["none", "full"])
@pytest.mark.parametrize("activation", ["uint8", "int8"])
@pytest.mark.parametrize(("shape", "group"), CONVOLUTIONS)
def test_no_kernel_overflows(build, rng, shape, group, activation, recover):
    model, sample = network(build, rng, shape, group)
    made = adapter.quantize(model, [sample], activation=activation, recover=recover)
    codes = constants(made)["w_quantized"]
    assert codes.dtype == np.int8
    last = np.moveaxis(codes, 1, -1)
    for rows in (codes, last, last.reshape(-1, last.shape[-1])):
        for lost in saturated(rows):
            np.testing.assert_array_equal(lost, 0)


@pytest.mark.parametrize(("recover", "turned"), [("none", 0), ("full", 1)])
def test_no_product_of_matrices_overflows(build, rng, recover, turned):
    w, v = heavy(rng, (12, 33)), heavy(rng, (12, 4))
    body = f"{{ r = Relu(x)  c = Gemm<transB = {turned}>(r, w)  y = MatMul(c, v) }}"
    model = build("float[5, 33] x", "float[5, 4] y", body, w=w if turned else w.T, v=v)
    sample = {"x": np.abs(heavy(rng, (5, 33)))}
    codes = constants(adapter.quantize(model, [sample], recover=recover))["w_quantized"]
    for lost in saturated(codes if turned else codes.T):
        np.testing.assert_array_equal(lost, 0)


@pytest.mark.parametrize(
    "options",
    [
        {"weight_method": "minmax"},
        {"weight_method": "mse"},
        {"weight_method": "percentile"},
        {"overrides": {"w": {"method": "minmax"}}},
        {"overrides": {"w": {"range": (-1.0, 1.0)}}},
    ],
    ids=str,
)
@pytest.mark.parametrize("per_channel", [True, False])
def test_no_product_overflows_whatever_chose_its_ranges(
    build, rng, options, per_channel
):
    w = heavy(rng, (12, 33))
    body = "{ r = Relu(x)  y = Gemm<transB = 1>(r, w, b) }"
    model = build("float[5, 33] x", "float[5, 12] y", body, w=w, b=w[:, 0])
    sample = {"x": np.abs(heavy(rng, (5, 33)))}
    made = adapter.quantize(
        model, [sample], recover="none", per_channel=per_channel, **options
    )
    for lost in saturated(constants(made)["w_quantized"]):
        np.testing.assert_array_equal(lost, 0)


def test_stacks_and_vectors_do_not_overflow(build, rng):
    stack, vector = heavy(rng, (3, 7, 6)), heavy(rng, (6,))
    body = "{ r = Relu(x)  c = MatMul(r, s)  d = Relu(c)  y = MatMul(d, v) }"
    model = build("float[3, 4, 7] x", "float[3, 4] y", body, s=stack, v=vector)
    left = constants(
        adapter.quantize(model, [{"x": np.abs(heavy(rng, (3, 4, 7)))}], recover="none")
    )
    matrices = np.swapaxes(left["s_quantized"], 1, 2).reshape(-1, 7)
    for codes in (matrices, left["v_quantized"][None]):
        for lost in saturated(codes):
            np.testing.assert_array_equal(lost, 0)


def test_what_sees_one_channel_alone_keeps_all_codes(build, rng):
    model, sample = network(build, rng, (4, 1, 3, 3), 4)
    made = constants(
        adapter.quantize(model, [sample], weight_method="minmax", recover="none")
    )
    np.testing.assert_array_equal(np.abs(made["w_quantized"]).max((1, 2, 3)), 127)


def test_scales_are_no_larger_than_they_must_be():
    w = np.zeros((2, 4), np.float32)
    w[0] = [1, 0.5, -1, 1]
    w[1] = [0.1, 0, 0.2, 0]
    product = node("Gemm", [], {"transB": 1})
    least = Neighbours(product, w.shape).least_scales(w)
    np.testing.assert_allclose(least, [1.5 / 127.5, 0.2 / 127.5], rtol=1e-6)


def test_each_may_move_without_a_look_at_the_other(rng):
    product = node("Gemm", [], {"transB": 1})
    codes = rng.integers(-64, 64, (50, 9)).astype(np.int8)
    lowest, highest = Neighbours(product, codes.shape).limits(codes)
    assert (lowest <= codes).all()
    assert (codes <= highest).all()
    for pushed in (lowest, highest):
        bounded = np.clip(pushed, -128, 127)
        for lost in saturated(bounded):
            np.testing.assert_array_equal(lost, 0)


def test_the_first_operand_stays_unsigned(build, rng):
    # onnxruntime has no kernel of signed codes by unsigned ones.
    body = "{ r = Relu(x)  c = MatMul(w, r)  d = Relu(c)  y = MatMul(d, v) }"
    w, v = heavy(rng, (6, 9)), heavy(rng, (5, 3))
    model = build("float[9, 5] x", "float[6, 3] y", body, w=w, v=v)
    sample = {"x": heavy(rng, (9, 5))}
    left = constants(adapter.quantize(model, [sample], recover="none"))
    assert (left["w_quantized"].dtype, left["v_quantized"].dtype) == (np.uint8, np.int8)
