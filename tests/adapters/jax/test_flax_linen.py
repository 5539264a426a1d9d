"""A module of flax.linen: `apply` is the function, its variables are the weights."""

import jax
import numpy as np
import pytest
from flax import linen

from qcore.adapters.jax import calibrate, collect, fake_quant, sites
from tests.adapters.jax.by_hand import RULES, rounded_activation, rounded_weight

X = np.random.default_rng(0).normal(size=(4, 6, 6, 1)).astype(np.float32)
LABELS = np.int32([0, 1, 2, 0])


class Network(linen.Module):
    @linen.compact
    def __call__(self, x):
        x = linen.relu(linen.Conv(4, (3, 3), name="stem")(x))
        return linen.Dense(3, name="head")(x.reshape(len(x), -1))


@pytest.fixture(scope="module")
def variables():
    return Network().init(jax.random.key(0), X)


def loss(variables, x, apply):
    found = jax.nn.log_softmax(apply(variables, x))
    return -found[np.arange(len(LABELS)), LABELS].mean()


def test_sites_are_named_by_the_modules(variables):
    names = [site.name for site in sites(Network().apply)(variables, X)]
    assert names == [
        "Network/stem/conv_general_dilated:0.lhs",
        "Network/stem/conv_general_dilated:0.rhs",
        "Network/head/dot_general:0.lhs",
        "Network/head/dot_general:0.rhs",
    ]


def test_it_computes_on_rounded_operands(variables):
    f = Network().apply
    result, statistics = collect(f, RULES)(None, variables, X)
    np.testing.assert_array_equal(result, f(variables, X))
    qparams = calibrate(f, RULES, statistics)(variables, X)
    found = fake_quant(f, RULES, qparams)(variables, X)

    stem, head = (variables["params"][name] for name in ("stem", "head"))

    def hidden(x, kernel):
        out = linen.Conv(4, (3, 3)).apply(
            {"params": {"kernel": kernel, "bias": stem["bias"]}}, x
        )
        return np.maximum(out, 0).reshape(len(x), -1)

    seen = hidden(X, stem["kernel"])
    x = hidden(rounded_activation(X, X), rounded_weight(stem["kernel"], 3))
    x = rounded_activation(x, seen) @ rounded_weight(head["kernel"], 1)
    np.testing.assert_allclose(found, x + head["bias"], rtol=1e-4, atol=1e-5)


def test_a_step_of_training_lowers_the_loss(variables):
    f = Network().apply
    _, statistics = collect(f, RULES)(None, variables, X)
    quantized = fake_quant(f, RULES, calibrate(f, RULES, statistics)(variables, X))
    before, gradient = jax.value_and_grad(loss)(variables, X, quantized)
    after = jax.tree.map(lambda x, g: x - 0.05 * g, variables, gradient)
    assert loss(after, X, quantized) < before
