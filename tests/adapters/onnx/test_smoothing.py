"""Outliers of inputs go into the weights, and the function stays what it was."""

import numpy as np
import onnx
import onnxruntime
import pytest

from qcore import QuantError
from qcore.adapters import onnx as adapter

ATTENTION = """{
    [norm] n = LayerNormalization<axis = -1>(x, g, h)
    [query] q = MatMul(n, w)  [key] k = MatMul(n, v)
    s = Add(q, k)  t = Tanh(s)  [out] y = MatMul(t, u)
}"""

RESIDUAL = """{
    [norm] n = LayerNormalization<axis = -1>(x, g, h)
    [query] q = MatMul(n, w)  y = Add(q, n)
}"""


@pytest.fixture
def constants(rng):
    """Two channels of the input are a hundred times as large as the others."""
    scale = np.where(np.isin(np.arange(16), [3, 9]), 100, 1)
    matrices = {name: rng.normal(size=(16, 16)) / 4 for name in "uvw"}
    return {
        name: array.astype(np.float32)
        for name, array in {
            "g": scale * rng.uniform(0.5, 1, 16),
            "h": scale * rng.normal(size=16) / 8,
            **matrices,
            "w": matrices["w"] / scale[:, None],
            "v": matrices["v"] / scale[:, None],
        }.items()
    }


def net(build, body, constants):
    used = {name: array for name, array in constants.items() if f" {name})" in body}
    used |= {name: constants[name] for name in "gh"}
    return build("float[N, 5, 16] x", "float[N, 5, 16] y", body, **used)


@pytest.fixture
def data(rng):
    return [{"x": rng.normal(size=(2, 5, 16)).astype(np.float32)} for _ in range(8)]


def decibels(model, quantized, data):
    runs = []
    for one in (model, quantized):
        session = onnxruntime.InferenceSession(one.SerializeToString())
        runs.append(np.concatenate([session.run(None, x)[0] for x in data]))
    wanted, found = np.asarray(runs, np.float64)
    return 10 * np.log10(np.sum(wanted**2) / np.sum((wanted - found) ** 2))


def operators(model):
    return [node.op_type for node in model.graph.node]


@pytest.mark.parametrize("smooth", [True, 0.5])
def test_a_normalization_before_takes_what_the_weights_do_not(
    build, constants, data, smooth
):
    model = net(build, ATTENTION, constants)
    plain = adapter.quantize(model, data, recover="none")
    found = adapter.quantize(model, data, smooth=smooth, recover="none")
    onnx.checker.check_model(found, full_check=True)
    assert operators(found).count("Mul") == 1  # before the last product alone
    assert decibels(model, found, data) > decibels(model, plain, data) + 6


def test_where_others_read_the_input_a_factor_is_put_before_the_product(
    build, constants, data
):
    model = net(build, RESIDUAL, constants)
    found = adapter.quantize(model, data, smooth=True, recover="none")
    assert operators(found).count("Mul") == 1
    left = {t.name: onnx.numpy_helper.to_array(t) for t in found.graph.initializer}
    np.testing.assert_array_equal(left["g"], constants["g"])
    np.testing.assert_array_equal(left["h"], constants["h"])


@pytest.mark.parametrize("body", [ATTENTION, RESIDUAL])
def test_smoothed_weights_and_inputs_give_the_same_products(
    build, constants, data, body
):
    model = net(build, body, constants)
    found = adapter.quantize(
        model, data, smooth=True, activation="int16", weight="int16"
    )
    assert decibels(model, found, data) > 60


def test_smoothing_and_recovery_go_together(build, constants, data):
    model = net(build, ATTENTION, constants)
    alone = adapter.quantize(model, data, smooth=True, recover="none")
    both = adapter.quantize(model, data, smooth=True)
    assert decibels(model, both, data) > decibels(model, alone, data)


@pytest.mark.parametrize(
    ("smooth", "error", "said"),
    [
        (1.5, QuantError, "from 0 to 1; got 1.5"),
        ("much", TypeError, "`smooth` must be a bool or a number"),
    ],
)
def test_how_much_must_be_a_share(build, constants, data, smooth, error, said):
    model = net(build, ATTENTION, constants)
    with pytest.raises(error, match=said):
        adapter.quantize(model, data, smooth=smooth)


def test_how_much_may_be_a_number_of_numpy(build, constants, data):
    model = net(build, ATTENTION, constants)
    found = [
        adapter.quantize(model, data, smooth=share, recover="none")
        for share in (0.5, np.float32(0.5))
    ]
    assert found[0] == found[1]


@pytest.mark.parametrize("smooth", [True, False])
def test_whether_may_be_a_flag_of_numpy(build, constants, data, smooth):
    model = net(build, ATTENTION, constants)
    found, plain = (
        adapter.quantize(model, data, smooth=flag, recover="none")
        for flag in (np.bool_(smooth), smooth)
    )
    assert found == plain


def test_statistics_are_those_of_another_model(build, constants, data):
    model = net(build, ATTENTION, constants)
    with pytest.raises(QuantError, match="must be given data; got statistics"):
        adapter.quantize(model, adapter.calibrate(model, data), smooth=True)


class Unread:
    """Samples that are not to be read."""

    def __iter__(self):
        raise AssertionError("read")


def test_an_input_that_a_factor_makes_another_is_refused_before_data(build, constants):
    model = net(build, ATTENTION, constants)
    own = {"t": {"method": "minmax"}}
    with pytest.raises(QuantError, match=r"got 't'.* With `smooth`"):
        adapter.quantize(model, Unread(), smooth=True, overrides=own)


def test_smoothed_weights_are_overridden_by_their_names(build, constants, data):
    model = net(build, ATTENTION, constants)
    own = {"w": {"format": "uint8"}}
    found = adapter.quantize(
        model, data, smooth=True, recover="none", weight="int8", overrides=own
    )
    types = {tensor.name: tensor.data_type for tensor in found.graph.initializer}
    assert types["w_quantized"] == onnx.TensorProto.UINT8
    assert types["v_quantized"] == onnx.TensorProto.INT8


def test_a_weight_of_two_smoothed_inputs_becomes_two(build, constants, data):
    body = ATTENTION.replace("MatMul(n, v)", "MatMul(x, w)")
    model = net(build, body, constants)
    found = adapter.quantize(
        model, data, smooth=True, activation="int16", weight="int16"
    )
    assert decibels(model, found, data) > 60
    own = {"w": {"method": "minmax"}}
    with pytest.raises(QuantError, match="got 'w'"):
        adapter.quantize(model, Unread(), smooth=True, overrides=own)
