"""Models of opsets 7 to 12, in IR 3 and with initializers among the inputs.

What onnxruntime answers to the old model is the truth.
"""

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from qcore import QuantError
from qcore.adapters import onnx as adapter
from qcore.adapters.onnx.prepare import prepare
from tests.adapters.onnx.graphs import sqnr

NORM = ("gamma", "beta", "mean", "var")
TWICE = np.array([1, 1, 2, 2], np.float32)

# By what they try: the opset, what lies between two convolutions, and its constants.
BETWEEN = {
    "batch normalization of opset 7": (
        7,
        f"d = BatchNormalization<spatial = 1>(c, {', '.join(NORM)})",
        dict.fromkeys(NORM, (6,)),
    ),
    "dropout of opset 7": (7, "d, mask = Dropout<ratio = 0.5>(c)", {}),
    "dropout of opset 12": (12, "d = Dropout(c, half)", {"half": np.float32(0.5)}),
    "upsample of opset 7": (
        7,
        "d = Upsample<mode = 'nearest', scales = [1.0, 1.0, 2.0, 2.0]>(c)",
        {},
    ),
    "upsample of opset 9, linear": (
        9,
        "d = Upsample<mode = 'linear'>(c, scales)",
        {"scales": TWICE},
    ),
    "resize of opset 10, linear": (
        10,
        "d = Resize<mode = 'linear'>(c, scales)",
        {"scales": np.array([1, 1, 1.5, 0.8], np.float32)},
    ),
    "resize of opset 10, longer": (
        10,
        "d = Resize<mode = 'nearest'>(c, scales)",
        {"scales": np.array([1, 1, 3, 1.4], np.float32)},
    ),
    "resize of opset 10, shorter": (
        10,
        "d = Resize<mode = 'nearest'>(c, scales)",
        {"scales": np.array([1, 1, 0.6, 0.7], np.float32)},
    ),
    "resize of opset 11": (
        11,
        "d = Resize<coordinate_transformation_mode = 'align_corners', "
        "mode = 'linear'>(c, roi, scales)",
        {"roi": np.zeros(0, np.float32), "scales": TWICE},
    ),
    "pads as attributes": (
        7,
        "d = Pad<mode = 'reflect', pads = [0, 0, 1, 1, 0, 0, 1, 1]>(c)",
        {},
    ),
    "pads of a value": (
        9,
        "d = Pad<pads = [0, 0, 1, 1, 0, 0, 1, 1], value = 0.5>(c)",
        {},
    ),
    "bounds as attributes": (7, "d = Clip<min = 0.0, max = 6.0>(c)", {}),
    "one bound as an attribute": (10, "d = Clip<max = 0.6>(c)", {}),
    "softmax over all that follows": (9, "d = Softmax(c)", {}),
    "log softmax over all that follows": (12, "d = LogSoftmax<axis = 1>(c)", {}),
    "hardmax over all that follows": (9, "h = Hardmax(c) \n d = Add(c, h)", {}),
    "axes as attributes": (
        11,
        "u = Unsqueeze<axes = [0, -1]>(c) \n d = Squeeze<axes = [0, -1]>(u)",
        {},
    ),
    "sums along axes that are attributes": (
        9,
        "r = ReduceSum<axes = [2, 3]>(c) \n d = Add(c, r)",
        {},
    ),
    "shares as attributes": (
        7,
        "a, b = Split<axis = 1, split = [2, 4]>(c) \n d = Concat<axis = 1>(b, a)",
        {},
    ),
    "cuts as attributes": (
        7,
        "d = Slice<axes = [2, 3], starts = [1, 1], ends = [7, 100]>(c)",
        {},
    ),
    "elements put elsewhere by their old name": (
        9,
        "d = Scatter<axis = 1>(c, places, values)",
        {"places": np.zeros((1, 1, 8, 8), np.int64), "values": (1, 1, 8, 8)},
    ),
    "a form of its own": (
        7,
        "s = Shape(c) \n f = Flatten(c) \n d = Reshape(f, s)",
        {},
    ),
}


def model(rng, opset, between, constants):
    """Return two convolutions, and what is between them, with all as inputs."""
    given = {"w1": (6, 3, 3, 3), "w2": (4, 6, 3, 3), **constants}
    arrays = {
        name: rng.uniform(0.1, 0.5, like).astype(np.float32)
        if isinstance(like, tuple)
        else like
        for name, like in given.items()
    }
    body = f"""{{
        [first] c = Conv<pads = [1, 1, 1, 1], kernel_shape = [3, 3]>(x, w1)
        {between.replace("'", '"')}
        [last] y = Conv<kernel_shape = [3, 3]>(d, w2)
    }}"""
    head = f'<ir_version: 3, opset_import: ["" : {opset}]>'
    ends = "(float[1, 3, 8, 8] x) => (float[1, 4, H, W] y)"
    made = onnx.parser.parse_model(f"{head} net {ends} {body}")
    for name, array in arrays.items():
        tensor = onnx.numpy_helper.from_array(array, name)
        made.graph.initializer.append(tensor)
        kind, shape = tensor.data_type, tensor.dims
        made.graph.input.append(onnx.helper.make_tensor_value_info(name, kind, shape))
    onnx.checker.check_model(made)
    return made


@pytest.fixture
def data(rng):
    shape = (8, 1, 3, 8, 8)
    return [{"x": x} for x in rng.normal(size=shape).astype(np.float32)]


@pytest.mark.parametrize("opset", [13, 21])
@pytest.mark.parametrize("name", BETWEEN)
def test_raising_changes_no_answer(rng, data, run, name, opset):
    old = model(rng, *BETWEEN[name])
    raised = ir.to_proto(prepare(old, opset=opset))
    assert raised.opset_import[0].version == opset
    for feed in data[:2]:
        found, wanted = (run(one, feed, merge=False) for one in (raised, old))
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", BETWEEN)
def test_quantized_they_answer_the_same(rng, data, run, name):
    old = model(rng, *BETWEEN[name])
    found = adapter.quantize(old, data, recover="none")
    onnx.checker.check_model(found, full_check=True)
    assert [value.name for value in found.graph.input] == ["x"]
    assert {"first", "last"} <= {node.name for node in found.graph.node}
    assert sqnr(*(run(one, data[0], merge=False) for one in (old, found))) > 25


def test_a_resize_that_later_opsets_lack_is_refused(rng, data):
    scales = {"scales": np.array([1, 1, 0.6, 1.4], np.float32)}
    old = model(rng, 10, "d = Resize<mode = 'nearest'>(c, scales)", scales)
    with pytest.raises(QuantError, match=r"one axis longer and another shorter; .*'d'"):
        adapter.quantize(old, data)


def test_a_scan_of_batches_is_refused():
    body = """(float[4] s, float[4] a) => (float[4] t, float[4] o)
        { t = Add(s, a) o = Identity(t) }"""
    old = onnx.parser.parse_model(
        '<ir_version: 3, opset_import: ["" : 8]> net (float[2, 3, 4] x, float[2, 4] z)'
        f" => (float[2, 3, 4] h) {{ [sums] q, h = Scan<num_scan_inputs = 1, body = b "
        f"{body}>(, z, x) }}"
    )
    with pytest.raises(QuantError, match="must be of opset 9 or later for Scan 'sums'"):
        prepare(old)


def test_a_normalization_of_each_pixel_is_refused(rng, data):
    norm = f"d = BatchNormalization<spatial = 0>(c, {', '.join(NORM)})"
    old = model(rng, 7, norm, dict.fromkeys(NORM, (6, 8, 8)))
    with pytest.raises(QuantError, match="must be of opset 13 or later"):
        adapter.quantize(old, data)


def test_nodes_without_a_name_are_called_by_their_operator(rng):
    old = model(rng, *BETWEEN["dropout of opset 7"])
    for node in old.graph.node:
        node.ClearField("name")
    assert [node.name for node in prepare(old).graph] == ["Conv", "Conv_1"]
