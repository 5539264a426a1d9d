"""Exported networks have the codes of JAX at their sites."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import onnx
import pytest

import qcore
from qcore.adapters.jax import (
    Config,
    calibrate,
    collect,
    export_onnx,
    fake_quant,
    sites,
)
from qcore.adapters.jax.onnx.model import onnx_model
from tests.adapters.jax.onnx_runs import as_numpy, codes, nodes, operands, run


def made(*shape, seed=0):
    values = np.random.default_rng(seed).normal(size=shape)
    return jnp.asarray(values / np.sqrt(shape[0]), jnp.float32)


def mlp(params, x):
    for number, (weight, bias) in enumerate(params):
        with jax.named_scope(f"layer{number}"):
            x = jax.nn.relu(x @ weight + bias)
    return x


def cnn(params, x):
    numbers = ("NHWC", "HWIO", "NHWC")
    for stride, kernel in zip((2, 1), params["kernels"], strict=True):
        x = jax.lax.conv_general_dilated(
            x, kernel, (stride, stride), "SAME", dimension_numbers=numbers
        )
        x = jax.nn.relu6(x)
    x = jax.lax.reduce_window(x, 0.0, jax.lax.add, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
    return x.mean((1, 2)) @ params["head"]


def attention(params, x):
    with jax.named_scope("norm"):
        centred = x - x.mean(-1, keepdims=True)
        x = centred * jax.lax.rsqrt(x.var(-1, keepdims=True) + 1e-6) * params["gain"]
    q, k, v = (jnp.einsum("bsd,dhk->bhsk", x, w) for w in params["qkv"])
    scores = jnp.einsum("bhqk,bhsk->bhqs", q, k) / np.sqrt(q.shape[-1])
    mask = jnp.tril(jnp.ones(scores.shape[-2:], bool))
    rows = jax.nn.softmax(jnp.where(mask, scores, -1e9))
    mixed = jnp.einsum("bhqs,bhsk->bqhk", rows, v)
    return x + jax.nn.gelu(jnp.einsum("bqhk,hkd->bqd", mixed, params["out"]))


def embedding(params, words):
    x = jnp.take(params["table"], words, axis=0)
    return x @ params["head"]


NETWORKS = {
    "mlp": (
        mlp,
        [(made(8, 16), made(16)), (made(16, 5, seed=1), made(5))],
        made(6, 8, seed=2),
    ),
    "cnn": (
        cnn,
        {
            "kernels": [made(3, 3, 3, 8), made(3, 3, 8, 8, seed=1)],
            "head": made(8, 5, seed=2),
        },
        made(2, 12, 12, 3, seed=3),
    ),
    "attention": (
        attention,
        {
            "gain": made(16) + 1,
            "qkv": [made(16, 2, 8, seed=n) for n in range(3)],
            "out": made(2, 8, 16, seed=4),
        },
        made(2, 6, 16, seed=5),
    ),
    "embedding": (
        embedding,
        {"table": made(20, 8), "head": made(8, 4, seed=1)},
        np.array([[3, 0, 19], [7, 7, 1]], np.int32),
    ),
}


RULES = {
    "weight": {"axis": "output"},
    "activation": {"symmetric": False, "method": "minmax", "statistics": "range"},
}


def calibrated(f, config, *args):
    _, statistics = jax.jit(collect(f, config))(None, *args)
    return calibrate(f, config, statistics)(*args)


@pytest.fixture(scope="module", params=NETWORKS)
def exported(request):
    f, params, x = NETWORKS[request.param]
    config = Config(RULES)
    qparams = calibrated(f, config, params, x)
    model = onnx_model(f, qparams, (params, x), config)
    seen, out = operands(f, config, qparams, params, x)
    weights = [site.name for site in sites(f)(params, x) if site.is_weight]
    return SimpleNamespace(
        model=model, x=x, qparams=qparams, seen=seen, out=out, weights=weights
    )


def test_codes_are_those_of_jax(exported):
    found = codes(exported.model, exported.x)
    assert set(found) == set(exported.qparams) - set(exported.weights)
    for site, (operand, got) in found.items():
        # Of equal operands all codes are equal; a sum in another order may move one.
        exact = qcore.quantize(operand, as_numpy(exported.qparams[site]))
        np.testing.assert_array_equal(got, exact)
        wanted = qcore.quantize(*exported.seen[site])
        np.testing.assert_allclose(got, wanted, atol=1)
        assert (got == wanted).mean() > 0.99


def test_outputs_are_those_of_jax(exported):
    (found,) = run(exported.model, exported.x)
    np.testing.assert_allclose(found, exported.out, atol=0.02)


def test_weights_are_stored_as_the_codes_of_jax(exported):
    weights = [qcore.quantize(*exported.seen[site]) for site in exported.weights]
    stored = [
        onnx.numpy_helper.to_array(tensor)
        for tensor in exported.model.graph.initializer
        if tensor.name.endswith("_quantized")
    ]
    assert len(stored) == len(weights) > 0
    for got, wanted in zip(stored, weights, strict=True):
        assert got.dtype == np.int8
        np.testing.assert_array_equal(np.sort(got, None), np.sort(wanted, None))


def test_the_file_has_the_names_of_the_arguments(tmp_path):
    f, params, x = NETWORKS["mlp"]
    path = tmp_path / "model.onnx"
    export_onnx(f, calibrated(f, RULES, params, x), (params, x), path, RULES)
    model = onnx.load(path)
    assert [value.name for value in model.graph.input] == ["x"]
    assert [value.name for value in model.graph.output] == ["output"]
    names = {tensor.name for tensor in model.graph.initializer}
    assert {"params/0/0_quantized", "params/0/0_scale", "params/0/1"} <= names
    assert {"layer0/MatMul", "layer1/QuantizeLinear"} <= {
        n.name for n in model.graph.node
    }


FORMATS = {
    "int8": ({}, 18),
    "uint8": ({"format": "uint8", "symmetric": False}, 18),
    "int4": ({"format": "int4"}, 21),
    "int16": ({"format": "int16"}, 21),
    "int6": ({"format": "int6"}, 18),
    "uint3": ({"format": "uint3", "symmetric": False}, 18),
    "e4m3": ({"format": "float8_e4m3fn"}, 19),
    "e5m2": ({"format": "float8_e5m2"}, 19),
    "channels": ({"axis": 1}, 18),
    "blocks": ({"block_size": 4}, 21),
    "short_blocks": ({"block_size": 3, "format": "int4"}, 21),
    "dynamic": ({"dynamic": True, "symmetric": False}, 18),
    "dynamic_rows": ({"dynamic": True, "axis": 0}, 18),
    "dynamic_int4": ({"dynamic": True, "format": "int4"}, 21),
    "dynamic_blocks": ({"dynamic": True, "block_size": 4}, 21),
    "dynamic_int6": ({"dynamic": True, "format": "int6", "symmetric": False}, 18),
    "powers": ({"format": "int8", "scale_format": "float8_e8m0fnu"}, 18),
}


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_gives_the_numbers_of_jax(name):
    tensor, opset = FORMATS[name]

    def f(weight, x):
        return x @ weight

    weight, x = made(8, 4), made(6, 8, seed=1)
    weights = {key: value for key, value in tensor.items() if key != "dynamic"}
    config = Config(
        [
            {
                "weight": weights,
                "activation": {"statistics": "range", "method": "max", **tensor},
            }
        ]
    )
    qparams = calibrated(f, config, weight, x)
    model = onnx_model(f, qparams, (weight, x), config)
    assert model.opset_import[0].version == opset
    wanted = fake_quant(f, config, qparams)(weight, x)
    np.testing.assert_allclose(run(model, x)[0], wanted, rtol=1e-6, atol=1e-6)


def test_layers_in_a_loop_are_stored_one_by_one():
    def f(params, x):
        return jax.lax.scan(lambda x, w: (jnp.tanh(x @ w), None), x, params)[0]

    params, x = made(3, 8, 8), made(4, 8, seed=1)
    qparams = calibrated(f, Config(RULES), params, x)
    model = onnx_model(f, qparams, (params, x), RULES)
    names = [t.name for t in model.graph.initializer if "params" in t.name]
    assert [n for n in names if n.endswith("_quantized")] == [
        f"params/{number}_quantized" for number in range(3)
    ]
    wanted = fake_quant(f, RULES, qparams)(params, x)
    np.testing.assert_allclose(run(model, x)[0], wanted, atol=1e-5)


@pytest.mark.parametrize("loop", ["scan", "while"])
def test_a_site_inside_of_one_node_is_quantized(loop):
    def scan(weight, x):
        rows = jnp.broadcast_to(x[0], (20, 8)) + jnp.cumsum(jnp.ones((20, 1)))[:, None]
        step = lambda x, row: (jnp.tanh(x @ weight) + 0.01 * row, None)  # noqa: E731
        return jax.lax.scan(step, x, rows)[0]

    def repeat(weight, x):
        def step(held):
            return held[0] + 1, jnp.tanh(held[1] @ weight) + 0.1

        return jax.lax.while_loop(lambda held: held[0] < 20, step, (0, x))[1]

    f = scan if loop == "scan" else repeat
    args = made(8, 8), made(4, 8, seed=1)
    qparams = calibrated(f, RULES, *args)
    model = onnx_model(f, qparams, args, RULES)
    assert not nodes(model, "QuantizeLinear")
    assert len(nodes(model, "Scan") + nodes(model, "Loop")) == 1
    (stored,) = [t for t in model.graph.initializer if t.name.endswith("_quantized")]
    assert stored.data_type == onnx.TensorProto.INT8
    wanted = jax.jit(fake_quant(f, RULES, qparams))(*args)
    np.testing.assert_allclose(run(model, args[1])[0], wanted, atol=1e-3)


def test_a_weight_with_scales_along_two_axes_becomes_a_matrix():
    f = lambda w, x: jnp.einsum("bd,dhk->bhk", x, w)  # noqa: E731
    weight, x = made(8, 3, 4), made(2, 8, seed=1)
    qparams = calibrated(f, Config(RULES), weight, x)
    model = onnx_model(f, qparams, (weight, x), RULES)
    (scale,) = [t for t in model.graph.initializer if t.name == "w_scale"]
    assert list(scale.dims) == [12]
    wanted = fake_quant(f, RULES, qparams)(weight, x)
    np.testing.assert_allclose(run(model, x)[0], wanted, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_halves_are_quantized_in_float32(dtype):
    f = lambda w, x: x @ w  # noqa: E731
    weight, x = made(8, 4).astype(dtype), made(2, 8, seed=1).astype(dtype)
    qparams = calibrated(f, Config(RULES), weight, x)
    model = onnx_model(f, qparams, (weight, x), RULES)
    assert nodes(model, "QuantizeLinear")
    if dtype == jnp.float16:
        wanted = fake_quant(f, RULES, qparams)(weight, x)
        np.testing.assert_allclose(run(model, x)[0], wanted, atol=2e-3)


def test_inputs_by_name_have_their_names_in_any_order():
    weight, x = made(8, 4), made(3, 8, seed=1)
    rules = {"weight": {}, "activation": {"dynamic": True}}
    named = {"x": x, "params": {"w": weight}, "bias": made(4, seed=2)}
    model = onnx_model(
        lambda *, params, bias, x: x @ params["w"] + bias,
        {},
        (),
        Config(rules, weights="params"),
        kwargs=named,
    )
    shapes = {
        taken.name: tuple(d.dim_value for d in taken.type.tensor_type.shape.dim)
        for taken in model.graph.input
    }
    assert shapes == {"x": (3, 8), "bias": (4,)}


def test_qparams_are_taken_as_fake_quantization_takes_them():
    f, params, x = NETWORKS["mlp"]
    dynamic = {"weight": {}, "activation": {"dynamic": True}}
    none, empty = (onnx_model(f, one, (params, x), dynamic) for one in (None, {}))
    assert none == empty
    _, statistics = collect(f, RULES)(None, params, x)
    wanted = onnx_model(f, calibrated(f, RULES, params, x), (params, x), RULES)
    of_numpy = {name: one.to(np) for name, one in statistics.items()}
    for given in (statistics, of_numpy):
        assert onnx_model(f, given, (params, x), RULES) == wanted
