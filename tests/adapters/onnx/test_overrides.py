"""Single tensors may be quantized other than the rest."""

import numpy as np
import onnx
import pytest
from onnx.numpy_helper import to_array

from qcore import QuantError
from qcore.adapters import onnx as adapter

BODY = """{
    [stem] a = Conv(x, w)  p = MaxPool<kernel_shape = [1, 1]>(a)
    [body] b = Conv(p, v)  [head] y = MatMul(b, m)
}"""


@pytest.fixture
def net(build, rng):
    constants = {
        "w": rng.normal(size=(4, 4, 1, 1)),
        "v": rng.normal(size=(4, 4, 1, 1)),
        "m": rng.normal(size=(8, 8)),
    }
    constants = {name: value.astype(np.float32) for name, value in constants.items()}
    return build("float[1, 4, 8, 8] x", "float[1, 4, 8, 8] y", BODY, **constants)


@pytest.fixture
def data(rng):
    return [{"x": rng.normal(size=(1, 4, 8, 8)).astype(np.float32)} for _ in range(4)]


def grids(model):
    """Return scale and zero point of each tensor that is quantized, by its name."""
    constants = {t.name: to_array(t) for t in model.graph.initializer}
    return {
        node.input[0].removesuffix("_quantized"): [constants[n] for n in node.input[1:]]
        for node in model.graph.node
        if node.op_type in {"QuantizeLinear", "DequantizeLinear"}
    }


def test_a_range_is_taken_as_it_is_given(net, data):
    scale, zero = grids(
        adapter.quantize(net, data, overrides={"x": {"range": (-8, 4)}})
    )["x"]
    assert zero == 170
    np.testing.assert_allclose(scale, 12 / 255, rtol=1e-7)


def test_a_method_with_its_options_holds_for_one_tensor_alone(net, data):
    wanted = grids(adapter.quantize(net, data, method="percentile", percentile=90))
    default = grids(adapter.quantize(net, data))
    own = {"a": {"method": "percentile", "percentile": 90}}
    found = grids(adapter.quantize(net, data, overrides=own))
    assert found["a"] == wanted["a"] != default["a"]
    assert found["x"] == default["x"]


def test_an_option_alone_changes_the_method_of_all_for_one_tensor(net, data):
    how = {"method": "percentile", "percentile": 99}
    found = grids(
        adapter.quantize(net, data, **how, overrides={"b": {"percentile": 90}})
    )
    wanted = grids(adapter.quantize(net, data, method="percentile", percentile=90))
    assert found["b"] == wanted["b"]


def test_a_tensor_can_have_other_codes(net, data):
    found = grids(adapter.quantize(net, data, overrides={"b": {"symmetric": True}}))
    assert (found["b"][1].dtype, found["b"][1]) == (np.int8, 0)
    assert found["x"][1].dtype == np.uint8
    found = grids(adapter.quantize(net, data, overrides={"b": {"format": "int8"}}))
    assert found["b"][1].dtype == np.int8


def test_tensors_that_share_a_scale_share_what_is_asked_of_one(net, data):
    model = adapter.quantize(net, data, overrides={"p": {"range": (-4, 2)}})
    assert grids(model)["a"] == grids(model)["p"]
    np.testing.assert_allclose(grids(model)["a"], [6 / 255, 170], rtol=1e-7)
    onnx.checker.check_model(model, full_check=True)


def test_a_weight_can_have_a_method_a_range_and_codes_of_its_own(net, data):
    default, minmax = (
        grids(adapter.quantize(net, data, weight_method=method))
        for method in ("output", "minmax")
    )
    found = grids(adapter.quantize(net, data, overrides={"w": {"method": "minmax"}}))
    np.testing.assert_array_equal(found["w"][0], minmax["w"][0])
    np.testing.assert_array_equal(found["v"][0], default["v"][0])
    found = grids(adapter.quantize(net, data, overrides={"w": {"range": (-2.54, 1)}}))
    np.testing.assert_allclose(found["w"][0], np.full(4, 0.02), rtol=1e-6)
    found = grids(adapter.quantize(net, data, overrides={"v": {"format": "uint8"}}))
    assert found["v"][1].dtype == np.uint8
    assert found["w"][1].dtype == np.int8


def test_weights_that_are_only_stored_can_have_codes_of_their_own(net):
    how = {"activation": "float", "weight": "int8"}
    model = adapter.quantize(net, **how, overrides={"m": {"format": "int4"}})
    onnx.checker.check_model(model, full_check=True)
    assert grids(model)["m"][1].dtype.name == "int4"
    assert grids(model)["w"][1].dtype == np.int8


def test_layers_can_have_16_bits(net, data, run):
    own = {"p": {"format": "uint16"}, "v": {"format": "int16"}}
    model = adapter.quantize(net, data, overrides=own)
    onnx.checker.check_model(model, full_check=True)
    found = grids(model)
    assert (found["p"][1].dtype, found["v"][1].dtype) == (np.uint16, np.int16)
    assert found["x"][1].dtype == np.uint8
    assert run(model, data[0]).shape == (1, 4, 8, 8)


def test_the_first_pattern_that_fits_holds(net, data):
    own = {"x": {"range": (-2, 2)}, "?": {"range": (-1, 1)}}
    found = grids(adapter.quantize(net, data, overrides=own))
    assert found["x"][0] == np.float32(4 / 255)
    assert found["b"][0] == np.float32(2 / 255)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"z": {}}, "must name tensors to be quantized; got 'z'"),
        ({"y": {}}, "got 'y': 'y' stays float"),
        ({"x": {"method": "mze"}}, "`overrides` of 'x': .* did you mean 'mse'"),
        ({"x": {"percentile": 9}}, "`overrides` of 'x': .*no option 'percentile'"),
        ({"x": {"format": "int3"}}, "`overrides` of 'x': .* must be int8, uint8"),
        ({"x": {"range": (1, 0)}}, "`overrides` of 'x': `ends` must be two ascending"),
        ({"x": {"range": 3}}, "of 'x': a range must be two numbers; got 3"),
        ({"x": {"range": ("a", 1)}}, "of 'x': a range must be two numbers; got"),
        ({"x": {"range": (0, 1), "method": "mse"}}, "a range or a method; got both"),
        ({"w": {"symmetric": False}}, "`overrides` of 'w': weights have zero points"),
        ({"w": {"bits": 4}}, "`overrides` of 'w': 'output' has no options; got bits"),
        ({"w": {"format": "int16"}}, "of 'w': `weight` of onnxruntime with"),
        ({"a": {"range": (0, 1)}, "p": {"range": (0, 2)}}, "'a' and 'p' must agree"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_said_before_any_sample_is_read(net, asked, said):
    def unread():
        raise AssertionError
        yield

    with pytest.raises(QuantError, match=said):
        adapter.quantize(net, unread(), overrides=asked)


@pytest.mark.parametrize("asked", [["x"], {"x": "minmax"}, {"x": 3}, {3: {}}])
def test_overrides_are_mappings_of_mappings(net, data, asked):
    with pytest.raises(TypeError, match=r"`overrides`.* must be (a mapping|by name)"):
        adapter.quantize(net, data, overrides=asked)


def test_a_target_refuses_codes_that_it_does_not_take(net, data):
    with pytest.raises(
        QuantError, match="of 'x': `activation` of tensorrt must be int8"
    ):
        adapter.quantize(
            net, data, target="tensorrt", overrides={"x": {"format": "uint8"}}
        )
