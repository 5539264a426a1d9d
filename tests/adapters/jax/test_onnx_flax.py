"""A module of flax.linen, exported."""

import jax
import numpy as np
import pytest
from flax import linen

from qcore.adapters.jax import calibrate, collect, fake_quant
from qcore.adapters.jax.onnx.model import onnx_model
from tests.adapters.jax.onnx_runs import nodes, run

RULES = {
    "weight": {"axis": "output"},
    "activation": {"symmetric": False, "method": "minmax", "statistics": "range"},
}


class Network(linen.Module):
    """What many networks are made of."""

    @linen.compact
    def __call__(self, x, words):
        x = linen.Conv(8, (3, 3), strides=2, name="stem")(x)
        x = linen.BatchNorm(use_running_average=True, name="norm")(x)
        x = linen.max_pool(linen.relu(x), (2, 2), strides=(2, 2))
        x = linen.ConvTranspose(6, (2, 2), strides=(2, 2), name="up")(x)
        x = linen.avg_pool(linen.gelu(x), (2, 2), strides=(2, 2))
        x = x.reshape(len(x), -1, 6)
        x = x + linen.Embed(20, 6, name="words")(words)
        x = x + linen.MultiHeadDotProductAttention(2, name="attention")(
            linen.LayerNorm(name="before")(x)
        )
        return linen.softmax(linen.Dense(3, name="head")(x.mean(1)))


@pytest.fixture(scope="module")
def exported():
    random = np.random.default_rng(0)
    x = random.normal(size=(2, 12, 12, 3)).astype(np.float32)
    words = np.arange(18, dtype=np.int32).reshape(2, 9)
    network = Network()
    # Compiling its own beginnings takes longer than all the rest.
    shapes = jax.eval_shape(network.init, jax.random.key(0), x, words)
    variables = jax.tree.map(
        lambda leaf: random.normal(0, 0.3, leaf.shape).astype(np.float32), shapes
    )
    variables["batch_stats"] = jax.tree.map(np.abs, variables["batch_stats"])
    f = network.apply
    _, statistics = jax.jit(collect(f, RULES))(None, variables, x, words)
    qparams = calibrate(f, RULES, statistics)(variables, x, words)
    model = onnx_model(f, qparams, (variables, x, words), RULES)
    wanted = jax.jit(fake_quant(f, RULES, qparams))(variables, x, words)
    return model, (x, words), wanted


def test_outputs_are_those_of_jax(exported):
    model, inputs, wanted = exported
    np.testing.assert_allclose(run(model, *inputs)[0], wanted, atol=2e-3)


def test_every_weight_is_stored_in_codes(exported):
    model, *_ = exported
    stored = {t.name for t in model.graph.initializer if t.name.endswith("quantized")}
    kernels = ("stem", "up", "head", *(f"attention/{n}" for n in ("query", "key")))
    assert {f"variables/params/{name}/kernel_quantized" for name in kernels} <= stored


def test_layers_have_the_operators_of_onnx(exported):
    model, *_ = exported
    for kind in ("Conv", "ConvTranspose", "MaxPool", "AveragePool"):
        assert len(nodes(model, kind)) == 1
    # Seven layers, and both operands of the two products of attention.
    assert len(nodes(model, "QuantizeLinear")) == 7 + 4
    assert [value.name for value in model.graph.input] == ["input1", "input2"]
