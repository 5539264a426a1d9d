import numpy as np
import onnx
import pytest
from onnx.numpy_helper import to_array

from qcore import (
    Histogram,
    NonFiniteError,
    PerChannel,
    QuantError,
    QuantSpec,
    UnknownMethodError,
    calibrate,
)
from qcore import (
    quantize as to_codes,
)
from qcore.adapters import onnx as adapter
from tests.adapters.onnx.graphs import constants, sqnr


def producers(model: onnx.ModelProto) -> dict[str, onnx.NodeProto]:
    return {name: node for node in model.graph.node for name in node.output}


def reader(model: onnx.ModelProto, name: str) -> onnx.NodeProto:
    return next(node for node in model.graph.node if node.name == name)


@pytest.mark.parametrize("method", ["mse", "minmax", "percentile", "entropy"])
def test_a_quantized_network_answers_almost_as_the_float_one(net, samples, run, method):
    quantized = adapter.quantize(net, samples, method=method)
    onnx.checker.check_model(quantized, full_check=True)
    batch = {"x": np.concatenate([sample["x"] for sample in samples])}
    assert sqnr(run(net, batch), run(quantized, batch)) > 30


def test_inputs_outputs_nodes_and_metadata_stay(net, samples):
    net.metadata_props.add(key="author", value="me")
    net.producer_name = "maker"
    quantized = adapter.quantize(net, samples)
    assert quantized.graph.input == net.graph.input
    assert quantized.graph.output == net.graph.output
    assert quantized.metadata_props == net.metadata_props
    assert quantized.producer_name == "maker"
    names = [node.name for node in quantized.graph.node]
    assert [name for name in names if "Linear" not in name] == [
        node.name for node in net.graph.node
    ]
    assert len(set(names)) == len(names)


def test_the_model_that_was_given_stays_as_it_was(net, samples):
    before = net.SerializeToString()
    adapter.quantize(net, samples)
    assert net.SerializeToString() == before


def test_no_float_weight_is_left_behind(net, samples):
    left = constants(adapter.quantize(net, samples))
    assert not {"w1", "b1", "w2", "b2", "w3", "b3"} & left.keys()


def test_data_and_its_statistics_give_the_same_model(net, samples):
    statistics = adapter.calibrate(net, samples)
    assert adapter.quantize(net, samples, recover="none") == adapter.quantize(
        net, statistics
    )


def test_codes_are_those_of_the_core(net, samples):
    statistics = adapter.calibrate(net, samples)
    options = {"weight": "uint8", "weight_method": "minmax"}
    left = constants(adapter.quantize(net, statistics, **options))
    spec = QuantSpec("uint8", symmetric=False)
    chosen = calibrate(statistics["t"], spec, "mse")
    assert left["t_scale"] == chosen.scale
    assert left["t_zero_point"] == chosen.zero_point
    weight = constants(net)["w1"]
    chosen = calibrate(
        Histogram.of(weight, granularity=PerChannel(0)), QuantSpec(), "minmax"
    )
    np.testing.assert_array_equal(left["w1_scale"], chosen.scale.reshape(-1))
    codes = left["w1_quantized"].astype(np.int32) - 128
    np.testing.assert_array_equal(codes, to_codes(weight, chosen))


def test_each_bias_has_the_scale_of_its_products(net, samples):
    left = constants(adapter.quantize(net, samples, recover="none"))
    assert left["b2_quantized"].dtype == np.int32
    np.testing.assert_array_equal(left["b2_scale"], left["r_scale"] * left["w2_scale"])
    bias = constants(net)["b2"]
    error = np.abs(left["b2_quantized"] * left["b2_scale"] - bias)
    assert (error <= left["b2_scale"] * 0.51).all()


@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize("recover", ["none", "full"])
def test_the_bias_of_channels_without_weights_is_kept(
    build, rng, run, per_channel, recover
):
    w, b = np.zeros((3, 2, 1, 1), np.float32), np.float32([0.3, -0.2, 0])
    if per_channel:
        w[1] = 1e-3
    body = "{ c = Conv(x, w, b)  y = Conv(c, v) }"
    v = np.eye(3, dtype=np.float32).reshape(3, 3, 1, 1)
    model = build("float[1, 2, 4, 4] x", "float[1, 3, 4, 4] y", body, w=w, b=b, v=v)
    sample = {"x": 255 * np.float32(rng.random((1, 2, 4, 4)))}
    made = adapter.quantize(
        model, [sample], per_channel=per_channel, recover=recover, method="minmax"
    )
    (found,), (expected,) = run(made, sample), run(model, sample)
    np.testing.assert_allclose(found, expected, atol=0.01)


def test_tensors_that_share_a_range_share_the_constants(net, samples):
    quantized = adapter.quantize(net, samples)
    made = producers(quantized)
    assert made["r_quantized"].input[1:] == made["p_quantized"].input[1:]
    assert list(made["r_quantized"].input[1:]) == ["r_scale", "r_zero_point"]


@pytest.mark.parametrize("weight", ["uint8", "int8"])
def test_int8_and_uint8_activations_give_the_same_numbers(net, samples, run, weight):
    kinds = [
        adapter.quantize(net, samples, activation=activation, weight=weight)
        for activation in ("uint8", "int8")
    ]
    first, second = (run(model, samples[0], merge=False) for model in kinds)
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    ("options", "codes", "weights"),
    [
        ({}, np.uint8, np.int8),
        ({"symmetric": True}, np.int8, np.int8),
        ({"activation": "int8"}, np.int8, np.int8),
        ({"weight": "uint8"}, np.uint8, np.uint8),
        ({"activation": QuantSpec("int8")}, np.int8, np.int8),
    ],
)
def test_the_types_of_codes_can_be_chosen(net, samples, options, codes, weights):
    left = constants(adapter.quantize(net, samples, **options))
    assert (left["t_zero_point"].dtype, left["w1_quantized"].dtype) == (codes, weights)


def test_symmetric_codes_have_zero_point_zero(net, samples):
    left = constants(adapter.quantize(net, samples, symmetric=True))
    zeros = [array for name, array in left.items() if name.endswith("_zero_point")]
    assert len(zeros) > 5
    assert not any(array.any() for array in zeros)


def test_weights_can_have_one_scale(net, samples):
    left = constants(adapter.quantize(net, samples, per_channel=False))
    assert left["w1_scale"].shape == left["b1_scale"].shape == ()


def test_scales_of_matrices_lie_along_their_columns(build, rng):
    w = rng.normal(size=(4, 6)).astype(np.float32)
    model = build(
        "float[1, 3, 4] x", "float[1, 3, 6] y", "{ [m] y = MatMul(x, w) }", w=w
    )
    x = {"x": rng.normal(size=(1, 3, 4)).astype(np.float32)}
    quantized = adapter.quantize(model, [x])
    read = producers(quantized)["w_dequantized"]
    assert [(a.name, a.i) for a in read.attribute] == [("axis", 1)]
    assert constants(quantized)["w_scale"].shape == (6,)


def test_a_weight_of_two_nodes_is_stored_once(build, rng):
    w = rng.normal(size=(4, 4)).astype(np.float32)
    body = "{ [one] a = MatMul(x, w)  b = Tanh(a)  [two] y = MatMul(b, w) }"
    model = build("float[3, 4] x", "float[3, 4] y", body, w=w)
    quantized = adapter.quantize(model, [{"x": rng.normal(size=(3, 4))}])
    stored = [n.name for n in quantized.graph.node if n.op_type == "DequantizeLinear"]
    assert stored.count("w_DequantizeLinear") == 1
    assert reader(quantized, "one").input[1] == reader(quantized, "two").input[1]


def test_float_users_of_a_float_tensor_go_on_reading_it(build, rng):
    w = rng.normal(size=(4, 4)).astype(np.float32)
    body = "{ n = Tanh(x)  [m] a = MatMul(n, w)  [sum] y = Add(a, n) }"
    model = build("float[3, 4] x", "float[3, 4] y", body, w=w)
    data = [{"x": rng.normal(size=(3, 4))}]
    quantized = adapter.quantize(model, data, recover="none")
    assert reader(quantized, "m").input[0] == "n_dequantized"
    assert list(reader(quantized, "sum").input) == ["a", "n"]


def test_float_users_of_an_integer_kernel_read_what_its_codes_stand_for(net, samples):
    net.graph.node.append(onnx.helper.make_node("Neg", ["d"], ["z"], name="neg"))
    net.graph.output.append(onnx.helper.make_tensor_value_info("z", 1, None))
    quantized = adapter.quantize(net, samples)
    assert reader(quantized, "neg").input[0] == "d_dequantized"


def test_names_that_are_taken_are_not_taken_again(build, rng, run):
    w = rng.normal(size=(4, 4)).astype(np.float32)
    body = """{
        x_scale = Tanh(x)  [x_QuantizeLinear] a = MatMul(x, w)  y = Mul(a, x_scale)
    }"""
    model = build("float[3, 4] x", "float[3, 4] y", body, w=w)
    x = {"x": rng.normal(size=(3, 4)).astype(np.float32)}
    quantized = adapter.quantize(model, [x])
    onnx.checker.check_model(quantized, full_check=True)
    assert sqnr(run(model, x), run(quantized, x)) > 30


def test_a_method_that_is_unknown_is_refused_before_data_is_read(net):
    def never():
        raise AssertionError
        yield

    with pytest.raises(UnknownMethodError, match="did you mean 'entropy'"):
        adapter.quantize(net, never(), method="entropi")
    with pytest.raises(UnknownMethodError, match="did you mean 'mse'"):
        adapter.quantize(net, never(), weight_method="msee")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"activation": "int4"}, "`activation` of onnxruntime must be .*; got 'int4'"),
        (
            {"weight": "float8_e4m3fn"},
            "with activation 'uint8' must be .*; got 'float8",
        ),
    ],
)
def test_other_formats_are_refused(net, samples, options, message):
    with pytest.raises(QuantError, match=message):
        adapter.quantize(net, samples, **options)


def test_a_model_with_nothing_to_quantize_is_refused(build):
    model = build("float[N] x", "float[N] y", "{ y = Relu(x) }")
    with pytest.raises(QuantError, match="`model` has no Conv or Gemm or MatMul"):
        adapter.quantize(model, {})


def test_the_reason_is_told_why_nothing_can_be_quantized(net):
    wrong = {"other": Histogram.of(np.ones(3, np.float32))}
    with pytest.raises(QuantError, match=r"Conv 'conv1' .*'x' was not calibrated"):
        adapter.quantize(net, wrong)


def test_a_single_feed_is_not_taken_for_statistics(net, samples):
    with pytest.raises(QuantError, match="got ndarray for 'x'"):
        adapter.quantize(net, samples[0])


def test_statistics_per_channel_are_refused(net, samples):
    statistics = adapter.calibrate(net, samples)
    statistics["x"] = Histogram.of(samples[0]["x"], granularity=PerChannel(1))
    with pytest.raises(QuantError, match="'x' must be per tensor"):
        adapter.quantize(net, statistics)


def test_a_tensor_is_named_whose_statistics_are_refused(net, samples):
    statistics = adapter.calibrate(net, samples)
    statistics["d"] = Histogram.of(np.float32([np.nan]))
    with pytest.raises(NonFiniteError, match="while calibrating 'd': "):
        adapter.quantize(net, statistics)


@pytest.mark.parametrize("name", ["w1", "b2"])
def test_a_weight_that_is_not_finite_is_named(net, samples, name):
    statistics = adapter.calibrate(net, samples)
    tensor = next(tensor for tensor in net.graph.initializer if tensor.name == name)
    bad = to_array(tensor).copy()
    bad.flat[0] = np.inf
    tensor.CopyFrom(onnx.numpy_helper.from_array(bad, name))
    with pytest.raises(NonFiniteError, match=f"'{name}' must be finite"):
        adapter.quantize(net, statistics)


def test_a_model_with_its_weights_in_another_file_is_quantized(
    net, samples, tmp_path, run
):
    expected = adapter.quantize(net, samples)
    path = tmp_path / "net.onnx"
    onnx.save(net, path, save_as_external_data=True, location="w", size_threshold=0)
    quantized = adapter.quantize(path, samples)
    np.testing.assert_array_equal(run(quantized, samples[0]), run(expected, samples[0]))


def test_a_model_with_nothing_to_quantize_is_refused_before_its_data_is_read(build):
    model = build("float[N] x", "float[N] y", "{ y = Relu(x) }")
    with pytest.raises(QuantError, match="has no Conv or Gemm or MatMul to quantize"):
        adapter.quantize(model, iter(lambda: pytest.fail("data was read"), None))
