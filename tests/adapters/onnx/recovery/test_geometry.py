"""What an output of a layer is made of, compared with what onnxruntime makes of it."""

import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest

from qcore import Gram, QParams, QuantSpec
from qcore.adapters.onnx.recovery.geometry import Geometry
from qcore.adapters.onnx.recovery.inputs import gram_of_codes

CASES = {
    "a convolution": ("Conv(x, w)", (2, 4, 7, 8), (6, 4, 3, 3)),
    "strides and pads": (
        "Conv<strides = [2, 1], pads = [1, 0, 2, 1]>(x, w)",
        (2, 4, 7, 8),
        (6, 4, 3, 2),
    ),
    "groups": (
        "Conv<group = 2, pads = [1, 1, 1, 1]>(x, w)",
        (1, 4, 5, 5),
        (6, 2, 3, 3),
    ),
    "depthwise": ("Conv<group = 4>(x, w)", (1, 4, 5, 5), (4, 1, 3, 3)),
    "dilations": ("Conv<dilations = [2, 1]>(x, w)", (1, 3, 7, 5), (2, 3, 3, 3)),
    "padded above": (
        'Conv<auto_pad = "SAME_UPPER", strides = [2, 2]>(x, w)',
        (1, 2, 7, 8),
        (3, 2, 3, 4),
    ),
    "padded below": (
        'Conv<auto_pad = "SAME_LOWER", strides = [2, 2]>(x, w)',
        (1, 2, 7, 8),
        (3, 2, 3, 4),
    ),
    "not padded": ('Conv<auto_pad = "VALID">(x, w)', (1, 2, 5, 5), (3, 2, 2, 2)),
    "one axis": ("Conv<pads = [2, 0]>(x, w)", (2, 3, 9), (4, 3, 4)),
    "three axes": ("Conv<strides = [1, 2, 1]>(x, w)", (1, 2, 4, 5, 4), (3, 2, 2, 2, 3)),
    "transposed": ("ConvTranspose(x, w)", (1, 4, 5, 4), (4, 3, 3, 2)),
    "transposed in groups": (
        "ConvTranspose<group = 2, strides = [2, 3], pads = [1, 0, 0, 1], "
        "output_padding = [1, 0], dilations = [1, 2]>(x, w)",
        (2, 4, 5, 4),
        (4, 3, 3, 2),
    ),
    "transposed, extents kept": (
        'ConvTranspose<auto_pad = "SAME_UPPER", strides = [2, 2]>(x, w)',
        (1, 2, 4, 5),
        (2, 3, 3, 3),
    ),
    "transposed to a shape": (
        "ConvTranspose<output_shape = [7, 10], strides = [2, 2]>(x, w)",
        (1, 2, 4, 5),
        (2, 3, 3, 3),
    ),
    "transposed to a shape, padded above": (
        'ConvTranspose<output_shape = [7, 10], strides = [2, 2], auto_pad = '
        '"SAME_UPPER">(x, w)',
        (1, 2, 4, 5),
        (2, 3, 4, 3),
    ),
    "a product of matrices": ("MatMul(x, w)", (2, 5, 4), (4, 3)),
    "a Gemm": ("Gemm(x, w)", (5, 4), (4, 3)),
    "a transposed Gemm": ("Gemm<transB = 1>(x, w)", (5, 4), (3, 4)),
}  # fmt: skip


@pytest.fixture(params=CASES.values(), ids=list(CASES))
def layer(request, build, rng):
    """A node with codes, the weight, and the output that onnxruntime gives."""
    call, extents, shape = request.param
    codes = rng.integers(0, 256, extents).astype(np.uint8)
    weight = rng.normal(size=shape).astype(np.float32)
    free = [", ".join(f"{end}{n}" for n in range(len(extents))) for end in "xy"]
    ends = [f"float[{free[0]}] x", f"float[{free[1]}] y"]
    model = build(*ends, f"{{ y = {call} }}", w=weight)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    x = (codes.astype(np.float32) - 7) * np.float32(0.5)
    (output,) = session.run(None, {"x": x})
    (node,) = ir.from_proto(model).graph
    return Geometry(node, shape), codes, weight, output


QPARAMS = QParams(np.float32(0.5), np.int32(7), QuantSpec("uint8", symmetric=False))


def by_channel(output, geometry):
    axis = 1 if geometry.kernel else -1
    return np.moveaxis(output, axis, 0).reshape(output.shape[axis], -1)


def test_products_with_the_mean_input_are_the_mean_output(layer):
    geometry, codes, weight, output = layer
    gram = gram_of_codes(codes, QPARAMS, geometry, most=10**6)
    rows = geometry.by_output(weight.astype(np.float64))
    found = geometry.products(rows, gram.mean)
    wanted = by_channel(output, geometry).mean(axis=1)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)


def test_every_so_many_outputs_are_seen_where_there_are_more(layer):
    geometry, codes, weight, output = layer
    gram = gram_of_codes(codes, QPARAMS, geometry, most=4)
    step = geometry.every(output.shape, 4)
    cut = [slice(None, None, step)] * len(geometry.kernel)
    if geometry.kernel:
        seen = by_channel(output[(slice(None), slice(None), *cut)], geometry)
    else:
        seen = by_channel(output, geometry)[:, ::step]
    assert int(gram.count[0]) == seen.shape[1]
    found = geometry.products(geometry.by_output(weight.astype(np.float64)), gram.mean)
    np.testing.assert_allclose(found, seen.mean(axis=1), rtol=1e-4, atol=1e-4)


def test_a_weight_is_as_it_was_after_going_back_and_forth(layer):
    geometry, _, weight, _ = layer
    np.testing.assert_array_equal(
        geometry.as_stored(geometry.by_output(weight)), weight
    )


def test_statistics_of_inputs_of_unequal_size_can_be_merged(layer):
    geometry, codes, _, _ = layer
    small = gram_of_codes(codes, QPARAMS, geometry, most=10**6)
    large = gram_of_codes(np.concatenate([codes] * 2), QPARAMS, geometry, most=2)
    assert isinstance(small.merge(large), Gram)
