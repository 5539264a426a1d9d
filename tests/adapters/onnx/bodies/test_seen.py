"""Statistics of tensors inside of If, Loop and Scan."""

import numpy as np
import onnx
import pytest

from qcore import QuantError
from qcore.adapters.onnx import calibrate, quantize
from tests.adapters.onnx.bodies.graphs import (
    BRANCHED,
    BRANCHES,
    LOOP,
    LOOPED,
    SCAN,
    decoded,
    integers,
    same_counts,
    states,
)
from tests.adapters.onnx.graphs import constants, sqnr

SEQUENCE = """{ none = SequenceEmpty<dtype = 1>()
    h, all = Loop(n, , x, none) <body = step (int64 i, bool go, float[N, 4] s,
        seq(float[N, 4]) q) => (bool more, float[N, 4] t, seq(float[N, 4]) r)
        { more = Identity(go) [inner] t = MatMul(s, v) r = SequenceInsert(q, t) }>
    y = ConcatFromSequence<axis = 0>(all) }"""


def test_every_run_of_a_loop_counts(looped, runs):
    seen = calibrate(looped, runs)
    assert list(seen) == ["s", "h"]
    assert same_counts(seen["s"], states(looped, runs))


def test_each_branch_counts_where_it_is_taken(branched, choices):
    seen = calibrate(branched, choices, tensors=["n", "r"])
    v = constants(branched)["v"]
    assert same_counts(seen["n"], -choices[1]["x"])
    taken = np.concatenate([choices[0]["x"], choices[2]["x"]])
    assert same_counts(seen["r"], taken @ v)


def test_every_run_of_a_scan_counts_whatever_its_axes_and_directions(build, rng):
    v, w = integers(rng, 4, 4), integers(rng, 3, 4)
    ends = "float[4, T] x, float[T, 4] z", "float[3, T] y"
    model = build(*ends, SCAN, v=v, w=w, zero=np.zeros(4, np.float32))
    samples = [{"x": integers(rng, 4, t), "z": integers(rng, t, 4)} for t in (5, 1, 3)]
    seen = calibrate(model, samples)
    inside, results = [], []
    for sample in samples:
        c, pieces = np.zeros(4, np.float32), []
        for a, b in zip(sample["x"].T[::-1], sample["z"], strict=True):
            inside.append(a + c)
            pieces.insert(0, (a + c) @ v)
            c = c + b
        results.append(np.stack(pieces, -1))
    assert list(seen) == ["g", "h"]
    assert same_counts(seen["g"], np.concatenate(inside))
    assert same_counts(seen["h"], np.concatenate(results, -1))


def test_branches_and_loops_inside_a_loop_count(nested, runs):
    seen = calibrate(nested, runs)
    v, left, deep = constants(nested)["v"], [], []
    for sample in runs:
        s = sample["x"]
        for i in range(sample["n"]):
            if i % 2:
                left.append(s)
                s = np.clip(s @ v, -9, 9)
                continue
            for _ in range(2):
                deep.append(s)
                s = np.clip(s @ v, -9, 9)
    assert list(seen) == ["s", "k", "h"]
    assert same_counts(seen["k"], np.concatenate(deep))
    assert same_counts(seen["s"], np.concatenate([*left, *deep[::2]]))


def test_shapes_that_change_from_run_to_run_are_seen(build, rng):
    body = """{ h = Loop(n, , x) <body = step (int64 i, bool go, float[M, 4] s) =>
            (bool more, float[K, 4] t)
            { more = Identity(go) c = Concat<axis = 0>(s, s) [inner] m = MatMul(c, v)
              t = Clip(m, low, high) }>
        y = Identity(h) }"""
    v = integers(rng, 4, 4)
    bounds = {"low": np.float32(-9), "high": np.float32(9)}
    model = build("float[2, 4] x, int64 n", "float[K, 4] y", body, v=v, **bounds)
    sample = {"x": integers(rng, 2, 4), "n": np.asarray(3)}
    s, found = sample["x"], []
    for _ in range(3):
        found.append(np.concatenate([s, s]))
        s = np.clip(found[-1] @ v, -9, 9)
    seen = calibrate(model, [sample], tensors=["c"])
    assert same_counts(seen["c"], np.concatenate(found))


def test_a_loop_that_hands_on_a_sequence_is_seen(build, rng, run):
    v = rng.normal(size=(4, 4)).astype(np.float32) / 2
    model = build("float[N, 4] x, int64 n", "float[M, 4] y", SEQUENCE, v=v)
    sample = {"x": integers(rng, 2, 4), "n": np.asarray(3)}
    quantized = quantize(model, [sample])
    onnx.checker.check_model(quantized, full_check=True)
    assert decoded(quantized) == {"inner"}
    assert sqnr(run(model, sample), run(quantized, sample)) > 25


def test_a_loop_in_half_precision_is_seen(build, rng):
    body = LOOP.replace("float[", "float16[")
    given = {"v": integers(rng, 4, 4, most=1), "w": integers(rng, 4, 3)}
    bounds = {"low": np.float32(-9), "high": np.float32(9)}
    halves = {k: a.astype(np.float16) for k, a in (given | bounds).items()}
    inputs, outputs = (ends.replace("float[", "float16[") for ends in LOOPED)
    model = build(inputs, outputs, body, opset=19, **halves)
    sample = {"x": integers(rng, 2, 4).astype(np.float16), "n": np.asarray(3)}
    seen = calibrate(model, [sample])
    s, found = sample["x"], []
    for _ in range(3):
        found.append(s)
        s = np.clip(s @ halves["v"], -9, 9)
    assert same_counts(seen["s"], np.concatenate(found))
    assert constants(quantize(model, [sample]))["s_scale"].dtype == np.float16


def test_a_tensor_that_no_run_shows_is_refused(build, rng):
    body = """{ s = SequenceConstruct(x, x)
        r = SequenceMap(s) <body = each (float[4, 4] p) => (float[4, 4] q)
            { q = MatMul(p, p) }>
        c = ConcatFromSequence<axis = 0>(r) y = MatMul(c, v) }"""
    model = build("float[4, 4] x", "float[8, 4] y", body, v=integers(rng, 4, 4))
    with pytest.raises(QuantError, match="'p' lies inside SequenceMap"):
        calibrate(model, [{"x": integers(rng, 4, 4)}], tensors=["p"])


def test_a_model_of_opset_13_is_seen_inside(build, rng):
    given = {"v": integers(rng, 4, 4), "w": integers(rng, 4, 3)}
    model = build(*BRANCHED, BRANCHES, opset=13, **given)
    sample = {"x": integers(rng, 2, 4), "p": np.asarray(False)}
    assert same_counts(calibrate(model, [sample])["n"], -sample["x"])
