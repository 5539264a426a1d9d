"""Products on codes are those that ONNX Runtime computes at deployment."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import qcore
from qcore.adapters.jax import fake_quant

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")


def made(seed, *shape):
    return np.random.default_rng(seed).normal(0.3, 1, shape).astype(np.float32)


def operator(kind, codes, given, **attributes):
    """Return the codes that an operator with quantized operands and result gives."""
    inputs = {}
    for name, side in zip("abc", given, strict=True):
        if name != "c":
            inputs[name] = codes[name]
        flat = np.asarray(side.scale).reshape(-1)
        inputs[f"{name}_scale"] = flat if name == "b" else flat.reshape(())
        zero_point = np.asarray(side.zero_point, side.spec.format.storage).reshape(-1)
        inputs[f"{name}_zero"] = zero_point if name == "b" else zero_point.reshape(())
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node(kind, list(inputs), ["y"], **attributes)],
        "graph",
        [onnx.helper.make_tensor_value_info("a", _type(inputs["a"]), None)],
        [onnx.helper.make_tensor_value_info("y", _type(inputs["c_zero"]), None)],
        [onnx.numpy_helper.from_array(x, name) for name, x in inputs.items()][1:],
    )
    model = onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=9
    )
    options = onnxruntime.SessionOptions()
    # Processors without VNNI saturate sums of two products otherwise.
    options.add_session_config_entry("session.x64quantprecision", "1")
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, {"a": inputs["a"]})[0]


def _type(x):
    return onnx.helper.np_dtype_to_tensor_dtype(x.dtype)


def check(f, primitive, kind, x, weight, axis, **attributes):
    specs = (
        qcore.QuantSpec("uint8", symmetric=False),
        qcore.QuantSpec("int8", qcore.PerChannel(axis)),
        qcore.QuantSpec("uint8", symmetric=False),
    )
    arrays = (x, weight, np.asarray(f(weight, x)))
    given = [
        qcore.qparams_from_data(jnp.asarray(data), spec)
        for data, spec in zip(arrays, specs, strict=True)
    ]
    sites = {
        f"{primitive}:0.{side}": q
        for side, q in zip(("lhs", "rhs"), given, strict=False)
    }
    found = fake_quant(f, None, sites, quantized_dot=True)(weight, x)
    found = np.asarray(qcore.quantize(found, given[2]), np.int32)
    codes = {
        name: np.asarray(qcore.quantize(jnp.asarray(data), q))
        for name, data, q in zip("ab", arrays, given, strict=False)
    }
    expected = operator(kind, codes, given, **attributes).astype(np.int32)
    assert np.abs(found - expected).max() <= 1
    assert (found != expected).mean() <= 1e-4
    assert np.unique(expected).size > 100


def test_a_matrix_product_has_the_codes_of_qlinearmatmul():
    x, weight = made(0, 128, 384), made(1, 384, 256)
    check(lambda w, x: x @ w, "dot_general", "QLinearMatMul", x, weight, 1)


@pytest.mark.parametrize(
    ("stride", "padding", "groups"), [(1, 1, 1), (2, 1, 4), (2, 0, 1), (1, 1, 16)]
)
def test_a_convolution_has_the_codes_of_qlinearconv(stride, padding, groups):
    x, weight = made(0, 2, 16, 28, 28), made(1, 32, 16 // groups, 3, 3)

    def f(weight, x):
        return jax.lax.conv_general_dilated(
            x, weight, (stride,) * 2, [(padding,) * 2] * 2, feature_group_count=groups
        )

    check(
        f,
        "conv_general_dilated",
        "QLinearConv",
        x,
        weight,
        0,
        strides=[stride] * 2,
        pads=[padding] * 4,
        group=groups,
    )
