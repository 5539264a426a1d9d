"""What rounding has cost is won back, whatever the layers are."""

import numpy as np
import onnx
import onnxruntime
import pytest

from qcore import QuantError
from qcore.adapters import onnx as adapter


def run(model, samples):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = (
        onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    )
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    return [session.run(None, sample)[0].astype(np.float64) for sample in samples]


def error(model, quantized, samples, axis=None):
    """Return the mean squared error, or the mean error of each index of an axis."""
    difference = [
        b - a for a, b in zip(run(model, samples), run(quantized, samples), strict=True)
    ]
    if axis is None:
        return np.mean([np.mean(d**2) for d in difference])
    moved = [np.moveaxis(d, axis, 0).reshape(d.shape[axis], -1) for d in difference]
    return np.concatenate(moved, axis=1).mean(axis=1)


LAYERS = {
    "conv": ("y = Conv<pads = [1, 1, 1, 1]>(x, w, b)", (8, 6, 3, 3), 8, 1),
    "conv without a bias": ("y = Conv(x, w)", (8, 6, 3, 3), 0, 1),
    "depthwise": ("y = Conv<group = 6>(x, w, b)", (6, 1, 3, 3), 6, 1),
    "strided": (
        'y = Conv<strides = [2, 2], auto_pad = "SAME_UPPER">(x, w)',
        (8, 6, 3, 3),
        0,
        1,
    ),
    "matmul": ("y = MatMul(x, w)", (9, 7), 0, -1),
    "matmul with a bias": ("a = MatMul(x, w)  y = Add(a, b)", (9, 7), 7, -1),
    "matmul with a bias before it": ("a = MatMul(x, w)  y = Add(b, a)", (9, 7), 7, -1),
    "two users": ("a = MatMul(x, w)  n = Neg(a)  y = Sub(a, n)", (9, 7), 0, -1),
    "transposed": ("y = ConvTranspose<strides = [2, 1]>(x, w, b)", (6, 8, 3, 3), 8, 1),
    "gemm": ("f = Flatten(x)  y = Gemm(f, w, b)", (6 * 81, 5), 5, 1),
    "gemm without a bias": ("f = Flatten(x)  y = Gemm(f, w)", (6 * 81, 5), 0, 1),
}  # fmt: skip


@pytest.fixture(params=LAYERS)
def case(request, build, rng):
    """A model of one layer, samples, and the axis of its channels."""
    body, shape, outputs, axis = LAYERS[request.param]
    constants = {"w": rng.normal(size=shape).astype(np.float32)}
    if outputs:
        constants["b"] = rng.normal(size=outputs).astype(np.float32)
    extents = "A, B" if "Gemm" in body else "A, B, C, D"
    ends = "float[N, 6, 9, 9] x", f"float[{extents}] y"
    model = build(*ends, f"{{ {body} }}", **constants)
    samples = [
        {"x": (rng.normal(size=(1 + n % 2, 6, 9, 9)) ** 2).astype(np.float32)}
        for n in range(24)
    ]
    return model, samples, axis


TARGETS = [
    {"target": "openvino"},
    {"target": "onnxruntime"},
    {"target": "openvino", "activation": "float", "weight": "int4"},
]


@pytest.mark.parametrize("how", TARGETS, ids=["int8", "onnxruntime", "int4"])
def test_a_layer_errs_less_and_its_mean_error_vanishes(case, how):
    model, samples, axis = case
    try:
        plain = adapter.quantize(model, samples, **how, recover="none")
    except QuantError:  # a convolution that answers in floats
        assert how["target"] == "onnxruntime"
        return
    found = adapter.quantize(model, samples, **how, recover="full")
    onnx.checker.check_model(found, full_check=True)
    assert found.graph.output == model.graph.output
    assert error(model, found, samples) <= error(model, plain, samples)
    shift = np.abs(error(model, found, samples, axis)).max()
    spread = np.std(run(model, samples)[0])
    # Within what rounding of the inputs and of the bias leaves.
    assert shift < 2e-3 * spread
    assert shift <= np.abs(error(model, plain, samples, axis)).max() + 1e-6


@pytest.mark.parametrize("level", ["bias", "gptq"])
def test_a_network_errs_less_the_more_is_done(net, samples, level):
    statistics = adapter.calibrate(net, samples)
    errors = [
        error(net, adapter.quantize(net, samples, recover=one), samples)
        for one in ("none", level)
    ]
    assert errors[1] < 0.8 * errors[0]
    plain = adapter.quantize(net, statistics)
    assert errors[0] == error(net, plain, samples)


WIDTHS = [
    {"activation": "int16", "weight": "int4"},
    {"activation": "uint16"},
    {"activation": "float8_e4m3fn"},
    {"activation": "float8_e5m2", "target": "onnxruntime"},
    {"activation": "float8_e4m3fn", "target": "tensorrt"},
]


@pytest.mark.parametrize("how", WIDTHS, ids=lambda how: "-".join(how.values()))
def test_codes_of_16_bits_and_of_floats_err_less_too(net, samples, how):
    plain, found = (
        adapter.quantize(net, samples, **how, recover=one) for one in ("none", None)
    )
    assert error(net, found, samples) < error(net, plain, samples)
    shift = np.abs(error(net, found, samples, 1)).max()
    assert shift < 2e-3 * np.std(run(net, samples))
    assert shift < 0.1 * np.abs(error(net, plain, samples, 1)).max()


@pytest.mark.parametrize("target", ["onnxruntime", "tensorrt"])
def test_products_of_float8_are_recovered(build, rng, target):
    v, w = rng.normal(size=(2, 8, 8)).astype(np.float32)
    body = "{ c = MatMul(x, v)  d = Clip(c, low, high)  y = MatMul(d, w) }"
    bounds = {"low": np.float32(0), "high": np.float32(6)}
    model = build("float[N, 8] x", "float[N, 8] y", body, v=v, w=w, **bounds)
    x = rng.normal(size=(30, 4)) @ rng.normal(size=(4, 8)) + 1
    data = [{"x": x.astype(np.float32)}]
    how = {"activation": "float8_e4m3fn", "target": target}
    plain, found = (
        adapter.quantize(model, data, **how, recover=one) for one in ("none", "full")
    )
    assert error(model, found, data) < 0.95 * error(model, plain, data)


def test_all_is_done_by_default_with_data_and_nothing_without(net, samples):
    full = adapter.quantize(net, samples, recover="full")
    assert adapter.quantize(net, samples) == full
    none = adapter.quantize(net, samples, recover="none")
    assert adapter.quantize(net, adapter.calibrate(net, samples)) == none != full


@pytest.mark.parametrize("memory", [0, 3000])
def test_where_samples_are_held_changes_nothing(net, samples, memory):
    assert adapter.quantize(net, samples, memory=memory) == adapter.quantize(
        net, samples
    )


def test_samples_that_can_be_read_once_only_are_enough(net, samples):
    assert adapter.quantize(net, iter(samples)) == adapter.quantize(net, samples)


def test_biases_alone_leave_the_codes_of_weights(net, samples):
    none, bias, full = (
        {
            t.name: t.SerializeToString()
            for t in adapter.quantize(net, samples, recover=one).graph.initializer
        }
        for one in ("none", "bias", "full")
    )
    assert none["w2_quantized"] == bias["w2_quantized"] != full["w2_quantized"]
    assert none["b2_quantized"] != bias["b2_quantized"]
    assert none["b2_scale"] == bias["b2_scale"] == full["b2_scale"]


def test_weights_that_several_layers_read_stay(build, rng):
    w = rng.normal(size=(8, 8)).astype(np.float32)
    body = "{ [one] a = MatMul(x, w)  [two] y = MatMul(a, w) }"
    model = build("float[N, 8] x", "float[N, 8] y", body, w=w)
    data = [{"x": rng.normal(size=(16, 8)).astype(np.float32)}]
    codes = [
        {
            t.name: t.raw_data
            for t in adapter.quantize(model, data, recover=one).graph.initializer
        }
        for one in ("none", "full")
    ]
    assert codes[0]["w_quantized"] == codes[1]["w_quantized"]


def test_what_is_added_that_is_no_bias_stays(build, rng):
    c = rng.normal(size=(5, 7)).astype(np.float32)
    k = rng.normal(size=(4, 7)).astype(np.float32)
    model = build("float[5, 4] x", "float[5, 7] y", "{ y = Gemm(x, k, c) }", k=k, c=c)
    data = [{"x": rng.normal(size=(5, 4)).astype(np.float32)} for _ in range(8)]
    found = adapter.quantize(model, data, target="openvino")
    (gemm,) = [node for node in found.graph.node if node.op_type == "Gemm"]
    left = {t.name: onnx.numpy_helper.to_array(t) for t in found.graph.initializer}
    np.testing.assert_array_equal(left[gemm.input[2]], c)


def test_the_rank_of_what_is_added_stays(build, rng):
    weight = rng.normal(size=(8, 8)).astype(np.float32)
    addend = rng.normal(size=(1, 1, 8)).astype(np.float32)
    ends = "float[N, 8] x", "float[1, N, 8] y"
    model = build(*ends, "{ a = MatMul(x, w)  y = Add(a, b) }", w=weight, b=addend)
    data = [{"x": rng.normal(size=(4, 8)).astype(np.float32)} for _ in range(4)]
    found = adapter.quantize(model, data)
    onnx.checker.check_model(found, full_check=True)
    assert [y.shape for y in run(found, data)] == [(1, 4, 8)] * 4


def test_the_rank_between_layers_may_differ_by_sample(build, rng):
    weights = {n: rng.normal(size=(8, 8)).astype(np.float32) for n in "vw"}
    ends = "float[N, 8] x, int64[R] s", "float[M, 8] y"
    body = "{ a = Reshape(x, s)  b = MatMul(a, v)  c = Relu(b)  d = MatMul(c, w) "
    model = build(*ends, body + "y = Reshape(d, t) }", t=np.array([-1, 8]), **weights)
    shapes = [4, 8], [2, 2, 8]
    data = [
        {"x": rng.normal(size=(4, 8)).astype(np.float32), "s": np.array(shapes[n % 2])}
        for n in range(8)
    ]
    found = adapter.quantize(model, data)
    assert [y.shape for y in run(found, data)] == [(4, 8)] * 8


@pytest.mark.parametrize(
    "passing",
    [
        "s = SequenceConstruct(a, x)  b = Relu(a)  c = MatMul(b, v)  "
        "e = SequenceAt(s, i)",
        "t = SequenceConstruct(a, x, a)  s = SequenceErase(t, i)  b = Relu(a)  "
        "c = MatMul(b, v)  e = SequenceAt(s, i)",
        "s = Optional(a)  b = Relu(a)  c = MatMul(b, v)  e = OptionalGetElement(s)",
    ],
)
def test_what_is_no_tensor_may_pass_by_layers(build, rng, passing):
    weights = {n: rng.normal(size=(8, 8)).astype(np.float32) for n in "uvw"}
    rest = "d = Relu(c)  f = Add(d, e)  y = MatMul(f, w)"
    ends = "float[N, 8] x, int64 i", "float[N, 8] y"
    model = build(*ends, f"{{ a = MatMul(x, u)  {passing}  {rest} }}", **weights)
    data = [
        {"x": rng.normal(size=(32, 8)).astype(np.float32), "i": np.asarray(n % 2)}
        for n in range(24)
    ]
    plain, found = (
        adapter.quantize(model, data, recover=one) for one in ("none", "full")
    )
    assert error(model, found, data) < 1.1 * error(model, plain, data)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"recover": "gtpq"},
            "`recover` must be known; got 'gtpq': did you mean 'gptq'",
        ),
        ({"recover": True}, "`recover` must be known; got True: known are bias"),
        ({"recover": "full", "activation": "dynamic"}, "found when the model runs"),
    ],
)
def test_what_cannot_be_recovered_is_refused_before_data_is_read(net, options, said):
    def unread():
        raise AssertionError
        yield

    with pytest.raises(QuantError, match=said):
        adapter.quantize(net, unread(), **options)


def test_statistics_alone_are_not_enough(net, samples):
    statistics = adapter.calibrate(net, samples)
    with pytest.raises(QuantError, match="must be 'none' without data"):
        adapter.quantize(net, statistics, recover="full")


def test_data_comes_once(net, samples):
    with pytest.raises(QuantError, match="got data in both places"):
        adapter.quantize(net, samples, data=samples)


def test_statistics_and_data_to_recover_with_give_what_data_gives(net, samples):
    statistics = adapter.calibrate(net, samples)
    found = adapter.quantize(net, statistics, data=samples)
    assert found == adapter.quantize(net, samples)
