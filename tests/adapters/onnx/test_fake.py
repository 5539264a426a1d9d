"""Rounded floats: onnxruntime's numbers are those of `qcore.fake_quantize`."""

import numpy as np
import onnx
import pytest

from qcore import (
    PerChannel,
    QParams,
    QuantError,
    QuantSpec,
    block_spec,
    calibrate,
    fake_quantize,
    parse_format,
    qparams_from_data,
    qparams_from_weights,
)
from qcore.adapters import onnx as adapter
from tests.adapters.onnx.graphs import constants, sqnr

FORMATS = [
    "int6",
    "uint5",
    "int2",
    "int12",
    "int8",
    "float8_e4m3fn",
    "float8_e5m2",
    "float6_e2m3fn",
    "float6_e3m2fn",
    "float4_e2m1fn",
]
BLOCKS = ["mxfp8_e4m3", "mxfp8_e5m2", "mxfp6_e2m3", "mxfp6_e3m2", "mxfp4", "nvfp4"]
SHAPES = [(5, 64), (3, 100), (2, 7)]


def normal(rng, *shape):
    return rng.normal(size=shape).astype(np.float32)


def shown(model, name):
    """Return a model whose first output is a tensor of its."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    value = onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
    copy.graph.output.insert(0, value)
    return copy


def product(build, rng, length):
    w = normal(rng, length, 6)
    body = "{ [product] y = MatMul(x, w) }"
    return build(f"float[N, {length}] x", "float[N, 6] y", body, w=w)


def read(model):
    """Return the name of what the product reads."""
    (node,) = (node for node in model.graph.node if node.name == "product")
    return node.input[0]


def hard(rng, spec, scale, zero_point, shape):
    """Return data with ties, ends and what lies beyond them, subnormal numbers."""
    fmt = parse_format(spec)
    if hasattr(fmt, "magnitudes"):
        numbers = np.asarray(fmt.magnitudes, np.float32)
        ties = (numbers[1:] + numbers[:-1]) / 2
        steps = np.concatenate([numbers, ties, -ties, numbers[-1:] * 3])
    else:
        steps = np.arange(fmt.qmin - 2, fmt.qmax + 3, 0.5)[: 5 * shape[-1]] - zero_point
    steps = np.concatenate([steps * np.float32(scale), [0, 1e-40, -1e30, 1e30]])
    steps = rng.permutation(steps.astype(np.float32))
    return np.resize(steps, (-(-steps.size // shape[-1]), shape[-1]))


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("activation", FORMATS)
def test_activations_are_those_of_the_core(build, rng, run, activation, symmetric):
    model = product(build, rng, 16)
    data = [{"x": x} for x in normal(rng, 8, 4, 16) + np.float32(0.5)]
    options = {"activation": activation, "symmetric": symmetric, "fake": True}
    quantized = adapter.quantize(model, data, **options)
    onnx.checker.check_model(quantized, full_check=True)
    seen = adapter.calibrate(model, data)["x"]
    is_float = activation.startswith("float")
    spec = QuantSpec(activation, symmetric=symmetric or is_float)
    qparams = calibrate(seen, spec, "mse")
    x = hard(rng, activation, qparams.scale, int(qparams.zero_point), (1, 16))
    for merge in (False, True):
        got = run(shown(quantized, read(quantized)), {"x": x}, merge=merge)
        np.testing.assert_array_equal(got, fake_quantize(x, qparams))


@pytest.mark.parametrize("activation", [*BLOCKS, "mxint8"])
@pytest.mark.parametrize("shape", SHAPES)
def test_blocks_of_activations_are_those_of_the_core(
    build, rng, run, activation, shape
):
    model = product(build, rng, shape[1])
    quantized = adapter.quantize(model, activation=activation, fake=True)
    onnx.checker.check_model(quantized, full_check=True)
    x = normal(rng, *shape) * np.exp2(rng.integers(-40, 40, shape)).astype(np.float32)
    x[0, :3] = 0, 1e-40, -1e-38
    x[1] = 0
    spec = block_spec(activation)
    wanted = fake_quantize(x, qparams_from_data(x, spec))
    for merge in (False, True):
        got = run(shown(quantized, read(quantized)), {"x": x}, merge=merge)
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("opset", [13, 18, 21])
def test_channels_of_images_are_cut_into_blocks(build, rng, run, opset):
    w = normal(rng, 4, 40, 3, 3)
    body = "{ [product] y = Conv(x, w) }"
    shapes = "float[N, 40, 6, 5] x", "float[N, 4, 4, 3] y"
    model = build(*shapes, body, opset=opset, w=w)
    quantized = adapter.quantize(model, activation="mxfp4", fake=True)
    onnx.checker.check_model(quantized, full_check=True)
    x = normal(rng, 2, 40, 6, 5)
    spec = block_spec("mxfp4", 1)
    wanted = fake_quantize(x, qparams_from_data(x, spec))
    got = run(shown(quantized, read(quantized)), {"x": x})
    np.testing.assert_array_equal(got, wanted)
    rounded = constants(quantized)["w_rounded"]
    np.testing.assert_array_equal(
        rounded, fake_quantize(w, qparams_from_weights(w, spec))
    )


@pytest.mark.parametrize("weight", FORMATS)
def test_weights_are_those_of_the_core(build, rng, weight):
    model = product(build, rng, 40)
    options = {"weight": weight, "weight_method": "minmax", "fake": True}
    quantized = adapter.quantize(model, activation="float", **options)
    w = constants(model)["w"]
    spec = QuantSpec(weight.removeprefix("u"), PerChannel(1))
    wanted = fake_quantize(w, qparams_from_data(w, spec))
    np.testing.assert_array_equal(constants(quantized)["w_rounded"], wanted)
    assert [node.op_type for node in quantized.graph.node] == ["MatMul"]


@pytest.mark.parametrize("weight", BLOCKS)
def test_blocks_of_weights_are_those_of_the_core(build, rng, weight):
    model = product(build, rng, 100)
    options = {"weight": weight, "weight_method": "minmax", "fake": True}
    quantized = adapter.quantize(model, activation="float", **options)
    w = constants(model)["w"]
    wanted = fake_quantize(w, qparams_from_data(w, block_spec(weight, 0)))
    np.testing.assert_array_equal(constants(quantized)["w_rounded"], wanted)


def test_scales_can_be_powers_of_two(build, rng, run):
    model = product(build, rng, 16)
    data = [{"x": x} for x in normal(rng, 8, 4, 16)]
    spec = QuantSpec("int8", scale_format="float8_e8m0fnu")
    quantized = adapter.quantize(model, data, activation=spec, fake=True)
    x = data[0]["x"]
    got = run(shown(quantized, read(quantized)), {"x": x})
    steps = np.unique(np.abs(got))
    scale = np.diff(steps).min()
    assert np.log2(scale) == np.rint(np.log2(scale))
    qparams = QParams(scale, np.int32(0), spec)
    np.testing.assert_array_equal(got, fake_quantize(x, qparams))


def test_halves_are_rounded_in_32_bits(build, rng, run):
    w = normal(rng, 64, 6).astype(np.float16)
    body = "{ [product] y = MatMul(x, w) }"
    model = build("float16[N, 64] x", "float16[N, 6] y", body, w=w)
    quantized = adapter.quantize(model, activation="mxfp4", fake=True)
    onnx.checker.check_model(quantized, full_check=True)
    x = normal(rng, 3, 64).astype(np.float16)
    wanted = fake_quantize(x, qparams_from_data(x, block_spec("mxfp4")))
    twin = shown(quantized, read(quantized))
    twin.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
    np.testing.assert_array_equal(run(twin, {"x": x}), wanted)


@pytest.mark.parametrize(("activation", "least"), [("mxfp8_e4m3", 25), ("int6", 20)])
def test_a_network_answers_almost_as_the_float_one(
    net, samples, run, activation, least
):
    quantized = adapter.quantize(net, samples, activation=activation, fake=True)
    onnx.checker.check_model(quantized, full_check=True)
    assert not any("Linear" in node.op_type for node in quantized.graph.node)
    batch = {"x": np.concatenate([sample["x"] for sample in samples])}
    assert sqnr(run(net, batch), run(quantized, batch)) > least


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"activation": "dynamic"}, "`activation` must not be 'dynamic'"),
        ({"activation": "mxfp4", "block": 32}, "`block` must be None for mxfp4"),
        ({"activation": "mxfp5"}, "must be a known name; got 'mxfp5'"),
        ({"activation": QuantSpec(rounding="up")}, "`rounding` must be 'half_even'"),
    ],
)
def test_what_cannot_be_written_is_refused(net, samples, options, said):
    with pytest.raises(ValueError, match=said) as raised:
        adapter.quantize(net, samples, fake=True, **options)
    assert isinstance(raised.value, QuantError)
