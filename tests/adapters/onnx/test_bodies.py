"""Products inside of If, Loop and Scan."""

import numpy as np
import onnx
import pytest

from qcore import Histogram
from qcore.adapters.onnx import calibrate, plan, quantize
from tests.adapters.onnx.graphs import all_nodes, constants, sqnr

LOOP = """{ [loop] h = Loop(n, , x) <body = step (int64 i, bool go, float[N, 4] s) =>
        (bool more, float[N, 4] t)
        { more = Identity(go) [inner] m = MatMul(s, v) t = Clip(m, low, high) }>
    [outer] y = MatMul(h, w) }"""
LOOPED = ("float[N, 4] x, int64 n", "float[N, 3] y")
BOUNDS = {"low": np.float32(-9), "high": np.float32(9)}


def integers(rng, *shape, most=3):
    """Return small integers, of which sums are exact in any order."""
    return rng.integers(-most, most, shape, endpoint=True).astype(np.float32)


def reader(model, name):
    """Return what a node's weight is dequantized from."""
    nodes = list(all_nodes(model.graph))
    node = next(node for node in nodes if node.name == name)
    return next(n.op_type for n in nodes if node.input[1] in n.output)


@pytest.fixture
def looped(build, rng):
    given = {"v": integers(rng, 4, 4, most=1), "w": integers(rng, 4, 3)}
    return build(*LOOPED, LOOP, **given, **BOUNDS)


@pytest.fixture
def runs(rng):
    return [
        {"x": integers(rng, 2, 4), "n": np.asarray(count)} for count in (3, 0, 1, 5, 4)
    ]


def states(looped, runs):
    """Return what each run of the body gets, as NumPy has it."""
    v, found = constants(looped)["v"], []
    for sample in runs:
        s = sample["x"]
        for _ in range(sample["n"]):
            found.append(s)
            s = np.clip(s @ v, -9, 9)
    return np.concatenate(found)


def test_every_run_of_a_loop_counts(looped, runs):
    seen = calibrate(looped, runs)
    assert list(seen) == ["s", "h"]
    wanted = Histogram.of(states(looped, runs))
    np.testing.assert_array_equal(seen["s"].counts, wanted.counts)
    np.testing.assert_array_equal(seen["s"].zeros, wanted.zeros)


def test_the_scale_inside_a_loop_is_that_of_its_runs(looped, runs):
    quantized = quantize(looped, runs, method="minmax", recover="none")
    every = states(looped, runs)
    scale = (max(every.max(), 0) - min(every.min(), 0)) / 255
    np.testing.assert_allclose(constants(quantized)["s_scale"], scale, rtol=1e-6)


def test_products_inside_a_loop_compute_on_codes(looped, runs, run):
    quantized = quantize(looped, runs)
    onnx.checker.check_model(quantized, full_check=True)
    assert plan(looped).compute == ("inner", "outer")
    assert reader(quantized, "inner") == "DequantizeLinear"
    for sample in runs:
        assert sqnr(run(looped, sample), run(quantized, sample)) > 25
