"""Products inside of If, Loop and Scan compute on codes."""

import numpy as np
import onnx
import pytest

from qcore import QuantError
from qcore.adapters.onnx import calibrate, compare, inspect, plan, quantize
from qcore.adapters.onnx.prepare import prepare
from tests.adapters.onnx.bodies.graphs import (
    LOOP,
    LOOPED,
    SCAN,
    decoded,
    integers,
    states,
)
from tests.adapters.onnx.graphs import constants, initializers, sqnr


def test_the_scale_inside_a_loop_is_that_of_its_runs(looped, runs):
    quantized = quantize(looped, runs, method="minmax", recover="none")
    every = states(looped, runs)
    scale = (max(every.max(), 0) - min(every.min(), 0)) / 255
    np.testing.assert_allclose(constants(quantized)["s_scale"], scale, rtol=1e-6)


def test_products_inside_a_loop_compute_on_codes(looped, runs, run):
    quantized = quantize(looped, runs)
    onnx.checker.check_model(quantized, full_check=True)
    assert plan(looped).compute == ("inner", "outer")
    assert decoded(quantized) == {"inner", "outer"}
    assert quantized.graph.input == looped.graph.input
    assert quantized.graph.output == looped.graph.output
    for sample in runs:
        assert sqnr(run(looped, sample), run(quantized, sample)) > 25


def test_the_model_that_was_given_keeps_weights_of_one_name_in_two_branches(
    branched, choices, rng, run
):
    for node in branched.graph.node:
        for attribute in node.attribute:
            held = onnx.numpy_helper.from_array(integers(rng, 4, 4), "own")
            attribute.g.initializer.append(held)
            for inner in attribute.g.node[-1:]:
                inner.input[1] = "own"
    given = onnx.ModelProto.FromString(branched.SerializeToString())
    quantized = quantize(branched, choices)
    assert branched == given
    for sample in choices:
        assert sqnr(run(branched, sample), run(quantized, sample)) > 25


def test_the_same_name_in_two_branches_is_numbered_in_the_second(branched):
    graph = prepare(branched).graph
    names = [value.name for node in graph.all_nodes() for value in node.outputs]
    assert names == ["h", "r", "n", "r_1", "y"]


def test_products_in_both_branches_compute_on_codes(branched, choices, run):
    quantized = quantize(branched, choices)
    assert decoded(quantized) == {"left", "right", "outer"}
    for sample in choices:
        assert sqnr(run(branched, sample), run(quantized, sample)) > 25


def test_a_branch_that_is_never_taken_stays_float_and_is_listed(branched, choices, run):
    once = choices[::2]
    seen = calibrate(branched, once)
    (kept,) = plan(branched, statistics=seen).kept_float
    assert kept.node == "right"
    wanted = "'n' was not calibrated, perhaps since its body never ran"
    assert kept.reason == wanted
    quantized = quantize(branched, once)
    assert decoded(quantized) == {"left", "outer"}
    assert ("right", True) in [
        (kept.node, kept.reason.startswith("its input and weight are not in codes"))
        for kept in inspect(quantized).contents.kept_float
    ]
    assert np.isfinite(run(quantized, choices[1])).all()


def test_what_a_branch_reads_from_outside_is_coded_outside_and_decoded_inside(
    branched, choices
):
    quantized = quantize(branched, choices)
    assert "x_quantized" in {name for n in quantized.graph.node for name in n.output}
    (branch,) = (
        attribute.g
        for node in quantized.graph.node
        for attribute in node.attribute
        if attribute.name == "then_branch"
    )
    assert "x_quantized" in {n.input[0] for n in branch.node}


def test_what_is_decoded_in_bodies_alone_is_not_compared(branched, choices):
    found = compare(branched, quantize(branched, choices), choices)
    assert [tensor.name for tensor in found.tensors] == ["h"]
    assert not found.unmatched


def test_a_loop_that_never_runs_stays_float(looped, runs, run):
    quantized = quantize(looped, [{**sample, "n": np.asarray(0)} for sample in runs])
    assert decoded(quantized) == {"outer"}
    assert np.isfinite(run(quantized, runs[0])).all()


def test_a_model_whose_products_all_never_run_is_refused(build, rng):
    body = LOOP.replace("[outer] y = MatMul(h, w)", "y = Identity(h)")
    bounds = {"low": np.float32(-9), "high": np.float32(9)}
    inputs, _ = LOOPED
    model = build(inputs, "float[N, 4] y", body, v=integers(rng, 4, 4), **bounds)
    sample = {"x": integers(rng, 2, 4), "n": np.asarray(0)}
    with pytest.raises(QuantError, match="perhaps since its body never ran"):
        quantize(model, [sample])


def test_products_inside_a_scan_compute_on_codes(build, rng, run):
    v, w = integers(rng, 4, 4), integers(rng, 3, 4)
    ends = "float[4, T] x, float[T, 4] z", "float[3, T] y"
    model = build(*ends, SCAN, v=v, w=w, zero=np.zeros(4, np.float32))
    samples = [{"x": integers(rng, 4, 5), "z": integers(rng, 5, 4)} for _ in range(3)]
    quantized = quantize(model, samples)
    assert decoded(quantized) == {"inner", "outer"}
    assert [n.op_type for n in quantized.graph.node if n.name == "scan"] == ["Scan"]
    for sample in samples:
        assert sqnr(run(model, sample), run(quantized, sample)) > 25


def test_products_in_bodies_inside_of_bodies_compute_on_codes(nested, runs, run):
    quantized = quantize(nested, runs)
    onnx.checker.check_model(quantized, full_check=True)
    assert decoded(quantized) == {"left", "deep", "outer"}
    for sample in runs:
        assert sqnr(run(nested, sample), run(quantized, sample)) > 25
    held = [name for name in initializers(quantized.graph) if name.startswith("v_q")]
    assert held == ["v_quantized"]  # once, for all of them


OWN = """{ h = Loop(n, , x) <body = step (int64 i, bool go, float[N, 2] s) =>
        (bool more, float[N, 2] t)
        { more = Identity(go)
          v = Constant<value = float[2, 2] {0.5, -0.25, 0.75, 0.125}>()
          [inner] t = MatMul(s, v) }>
    y = Identity(h) }"""


def test_a_weight_in_a_body_stays_there_in_codes(build, rng, run):
    model = build("float[N, 2] x, int64 n", "float[N, 2] y", OWN)
    samples = [{"x": integers(rng, 3, 2), "n": np.asarray(2)} for _ in range(3)]
    quantized = quantize(model, samples)
    assert decoded(quantized) == {"inner"}
    every = initializers(quantized.graph)
    assert "v_quantized" in every
    assert "v_quantized" not in constants(quantized)
    assert "v" not in every
    assert sqnr(run(model, samples[0]), run(quantized, samples[0])) > 25


CONVS = """{ [loop] h = Loop(n, , x) <body = step (int64 i, bool go,
        float[1, 4, 6, 6] s) => (bool more, float[1, 4, 6, 6] t)
        { more = Identity(go) [inner] c = Conv<pads = [1, 1, 1, 1]>(s, k) t = Relu(c)
        }> y = Identity(h) }"""


def test_a_convolution_that_a_loop_goes_on_with_computes_on_codes(build, rng, run):
    k = rng.normal(size=(4, 4, 3, 3)).astype(np.float32) / 4
    model = build("float[1, 4, 6, 6] x, int64 n", "float[1, 4, 6, 6] y", CONVS, k=k)
    x = rng.normal(size=(4, 1, 4, 6, 6)).astype(np.float32)
    samples = [{"x": each, "n": np.asarray(3)} for each in x]
    quantized = quantize(model, samples)
    assert decoded(quantized) == {"inner"}
    onnx.checker.check_model(quantized, full_check=True)
    for sample in samples:
        assert sqnr(run(model, sample), run(quantized, sample)) > 25


def test_a_convolution_whose_result_a_loop_only_stacks_is_an_answer(build, rng):
    body = """{ u, h = Loop(n, , x) <body = step (int64 i, bool go,
            float[1, 4, 6, 6] s)
            => (bool more, float[1, 4, 6, 6] t, float[1, 2, 6, 6] c)
            { more = Identity(go) [inner] c = Conv(s, k) t = Neg(s) }>
        y = Identity(h) }"""
    k = rng.normal(size=(2, 4, 1, 1)).astype(np.float32)
    model = build("float[1, 4, 6, 6] x, int64 n", "float[L, 1, 2, 6, 6] y", body, k=k)
    assert plan(model).compute == ("inner",)
    (kept,) = plan(model, recover="none").kept_float
    assert (kept.node, kept.reason.split(",")[0]) == ("inner", "it answers in floats")


def test_recovery_leaves_bodies_as_rounded_and_takes_their_results(rough, run):
    model, samples = rough
    rounded = quantize(model, samples, recover="none")
    recovered = quantize(model, samples)
    held, changed = constants(rounded), constants(recovered)
    np.testing.assert_array_equal(held["v_quantized"], changed["v_quantized"])
    error = [
        sum(np.sum((run(model, s) - run(q, s)) ** 2) for s in samples)
        for q in (rounded, recovered)
    ]
    assert error[1] < error[0]
