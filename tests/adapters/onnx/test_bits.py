"""Layers that cost most get 16 bits, within a budget."""

import numpy as np
import onnx
import onnxruntime
import pytest

from qcore import QuantError
from qcore.adapters import onnx as adapter

BODY = """{
    [one] a = MatMul(x, w)  r = Tanh(a)  [two] b = MatMul(r, v)  [end] y = MatMul(b, u)
}"""
SIZES = {"w": 8 * 4, "v": 4 * 32, "u": 32 * 64}


@pytest.fixture
def net(build, rng):
    shapes = {"w": (8, 4), "v": (4, 32), "u": (32, 64)}
    arrays = {n: rng.normal(size=s).astype(np.float32) for n, s in shapes.items()}
    return build("float[N, 8] x", "float[N, 64] y", BODY, **arrays)


@pytest.fixture
def data(rng):
    return [{"x": rng.normal(size=(16, 8)).astype(np.float32)} for _ in range(8)]


def noise(model, quantized, data):
    found = []
    for one in (model, quantized):
        session = onnxruntime.InferenceSession(one.SerializeToString())
        found.append(np.concatenate([session.run(None, x)[0] for x in data]))
    return np.sum((found[0].astype(np.float64) - found[1]) ** 2)


def weights_in(overrides):
    return {name for name in overrides if name in SIZES}


@pytest.mark.parametrize("budget", [8, 8.2, 8.7, 12, 16])
def test_the_budget_is_kept(net, data, budget):
    statistics = adapter.calibrate(net, data)
    chosen = adapter.spend_bits(net, statistics, data, budget)
    used = sum(n * (16 if w in chosen else 8) for w, n in SIZES.items())
    assert used <= budget * sum(SIZES.values())
    assert (budget == 16) == (weights_in(chosen) == set(SIZES))
    assert (budget == 8) == (not chosen)


def test_the_choice_is_the_best_there_is_where_costs_add_up(net, data):
    statistics = adapter.calibrate(net, data)
    chosen = weights_in(adapter.spend_bits(net, statistics, data, 8.7))
    cost = {
        weight: noise(net, adapter.quantize(net, statistics, include=[layer]), data)
        for weight, layer in {"w": "one", "v": "two", "u": "end"}.items()
    }
    room = 0.7 * sum(SIZES.values()) / 8
    sets = [set(), {"w"}, {"v"}, {"w", "v"}]
    able = [s for s in sets if sum(SIZES[w] for w in s) <= room]
    assert chosen == max(able, key=lambda s: sum(cost[w] for w in s))


def test_the_model_errs_less_for_more_bits(net, data):
    statistics = adapter.calibrate(net, data)
    errors = []
    for budget in (8, 8.7, 16):
        chosen = adapter.spend_bits(net, statistics, data, budget)
        model = adapter.quantize(net, statistics, overrides=chosen)
        onnx.checker.check_model(model, full_check=True)
        errors.append(noise(net, model, data))
    assert errors[0] > errors[1] > 1000 * errors[2]


@pytest.mark.parametrize("budget", [7.9, 16.1, float("nan")])
def test_a_budget_out_of_range_is_refused(net, data, budget):
    with pytest.raises(QuantError, match="`budget` must be from 8 to 16 bits; got"):
        adapter.spend_bits(net, adapter.calibrate(net, data), data, budget)
