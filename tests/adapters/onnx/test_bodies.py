"""Products inside of If, Loop and Scan."""

import numpy as np
import onnx
import pytest

from qcore import Histogram, QuantError
from qcore.adapters.onnx import calibrate, compare, inspect, plan, quantize
from qcore.adapters.onnx.prepare import prepare
from tests.adapters.onnx.graphs import all_nodes, constants, initializers, sqnr

LOOP = """{ [loop] h = Loop(n, , x) <body = step (int64 i, bool go, float[N, 4] s) =>
        (bool more, float[N, 4] t)
        { more = Identity(go) [inner] m = MatMul(s, v) t = Clip(m, low, high) }>
    [outer] y = MatMul(h, w) }"""
LOOPED = ("float[N, 4] x, int64 n", "float[N, 3] y")
BRANCHES = """{ [if] h = If(p) <
        then_branch = yes () => (float[N, 4] r) { [left] r = MatMul(x, v) },
        else_branch = no () => (float[N, 4] r) { n = Neg(x) [right] r = MatMul(n, v) }>
    [outer] y = MatMul(h, w) }"""
BRANCHED = ("float[N, 4] x, bool p", "float[N, 3] y")


def integers(rng, *shape, most=3):
    """Return small integers, of which sums are exact in any order."""
    return rng.integers(-most, most, shape, endpoint=True).astype(np.float32)


def decoded(model):
    """Return the names of the products whose weight comes out of codes."""
    nodes = list(all_nodes(model.graph))
    made = {name: node.op_type for node in nodes for name in node.output}
    products = (node for node in nodes if node.op_type in {"Conv", "Gemm", "MatMul"})
    return {n.name for n in products if made.get(n.input[1]) == "DequantizeLinear"}


def same_counts(seen, values):
    wanted = Histogram.of(values.astype(np.float32))
    return (
        np.array_equal(seen.counts, wanted.counts)
        and np.array_equal(seen.zeros, wanted.zeros)
        and np.array_equal(seen.max, wanted.max)
    )


@pytest.fixture
def looped(build, rng):
    given = {"v": integers(rng, 4, 4, most=1), "w": integers(rng, 4, 3)}
    bounds = {"low": np.float32(-9), "high": np.float32(9)}
    return build(*LOOPED, LOOP, **given, **bounds)


@pytest.fixture
def runs(rng):
    return [
        {"x": integers(rng, 2, 4), "n": np.asarray(count)} for count in (3, 0, 1, 5, 4)
    ]


@pytest.fixture
def rough(build, rng):
    """The same with numbers that need rounding, and samples."""
    v, w, x = rng.normal(size=(3, 4, 4)).astype(np.float32) / 2
    bounds = {"low": np.float32(-9), "high": np.float32(9)}
    model = build(*LOOPED, LOOP, v=v, w=w[:, :3], **bounds)
    return model, [{"x": 3 * x, "n": np.asarray(count)} for count in (3, 2, 1)]


@pytest.fixture
def branched(build, rng):
    return build(*BRANCHED, BRANCHES, v=integers(rng, 4, 4), w=integers(rng, 4, 3))


@pytest.fixture
def choices(rng):
    return [{"x": integers(rng, 2, 4), "p": np.asarray(p)} for p in (True, False, True)]


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
    assert same_counts(seen["s"], states(looped, runs))


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


def test_each_branch_counts_where_it_is_taken(branched, choices):
    seen = calibrate(branched, choices, tensors=["n", "r"])
    v = constants(branched)["v"]
    assert same_counts(seen["n"], -choices[1]["x"])
    taken = np.concatenate([choices[0]["x"], choices[2]["x"]])
    assert same_counts(seen["r"], taken @ v)


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


SCAN = """{ [scan] q, h = Scan<num_scan_inputs = 2, scan_input_axes = [1, 0],
        scan_input_directions = [1, 0], scan_output_axes = [-1],
        scan_output_directions = [1],
        body = step (float[4] c, float[4] a, float[4] b) => (float[4] d, float[4] e) {
            d = Add(c, b) g = Add(a, c) [inner] e = MatMul(g, v) }>(zero, x, z)
    [outer] y = MatMul(w, h) }"""


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


NESTED = """{ [loop] h = Loop(n, , x) <body = step (int64 i, bool go, float[N, 4] s) =>
        (bool more, float[N, 4] t) {
            more = Identity(go)
            odd = Mod(i, two)
            p = Cast<to = 9>(odd)
            u = If(p) <
                then_branch = yes () => (float[N, 4] f) { [left] f = MatMul(s, v) },
                else_branch = no () => (float[N, 4] g) {
                    g = Loop(two, , s) <body = again (int64 j, bool on, float[N, 4] k)
                        => (bool still, float[N, 4] l)
                        { still = Identity(on) [deep] d = MatMul(k, v)
                          l = Clip(d, low, high) }> }>
            t = Clip(u, low, high) }>
    [outer] y = MatMul(h, w) }"""


@pytest.fixture
def nested(build, rng):
    given = {"v": integers(rng, 4, 4, most=1), "w": integers(rng, 4, 3)}
    bounds = {"low": np.float32(-9), "high": np.float32(9), "two": np.int64(2)}
    return build(*LOOPED, NESTED, **given, **bounds)


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


def test_products_in_bodies_inside_of_bodies_compute_on_codes(nested, runs, run):
    quantized = quantize(nested, runs)
    onnx.checker.check_model(quantized, full_check=True)
    assert decoded(quantized) == {"left", "deep", "outer"}
    for sample in runs:
        assert sqnr(run(nested, sample), run(quantized, sample)) > 25
    held = [name for name in initializers(quantized.graph) if name.startswith("v_q")]
    assert held == ["v_quantized"]  # once, for all of them


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


SEQUENCE = """{ none = SequenceEmpty<dtype = 1>()
    h, all = Loop(n, , x, none) <body = step (int64 i, bool go, float[N, 4] s,
        seq(float[N, 4]) q) => (bool more, float[N, 4] t, seq(float[N, 4]) r)
        { more = Identity(go) [inner] t = MatMul(s, v) r = SequenceInsert(q, t) }>
    y = ConcatFromSequence<axis = 0>(all) }"""


def test_a_loop_that_hands_on_a_sequence_is_seen(build, rng, run):
    v = rng.normal(size=(4, 4)).astype(np.float32) / 2
    model = build("float[N, 4] x, int64 n", "float[M, 4] y", SEQUENCE, v=v)
    sample = {"x": integers(rng, 2, 4), "n": np.asarray(3)}
    quantized = quantize(model, [sample])
    onnx.checker.check_model(quantized, full_check=True)
    assert decoded(quantized) == {"inner"}
    assert sqnr(run(model, sample), run(quantized, sample)) > 25


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


@pytest.mark.parametrize("kind", ["looped", "branched", "nested"])
@pytest.mark.parametrize("weight", ["int8", "int4", "float8_e4m3fn"])
def test_weights_inside_are_stored_in_codes_without_data(
    kind, weight, request, runs, choices, run
):
    model = request.getfixturevalue(kind)
    quantized = quantize(model, activation="float", weight=weight)
    products = {n.name for n in all_nodes(model.graph) if n.op_type == "MatMul"}
    assert decoded(quantized) == products
    assert not any(n.op_type == "QuantizeLinear" for n in all_nodes(quantized.graph))
    for sample in choices if kind == "branched" else runs:
        wanted, got = run(model, sample), run(quantized, sample)
        assert np.linalg.norm(wanted - got) < 0.2 * np.linalg.norm(wanted)


def test_blocks_of_4_bits_inside_are_packed(build, rng, run):
    v, w = rng.normal(size=(2, 32, 32)).astype(np.float32) / 6
    body = LOOP.replace("N, 4", "N, 32")
    bounds = {"low": np.float32(-9), "high": np.float32(9)}
    model = build("float[N, 32] x, int64 n", "float[N, 32] y", body, v=v, w=w, **bounds)
    options = {"activation": "float", "weight": "int4", "block": 16}
    standard = quantize(model, **options)
    packed = quantize(model, **options, weight_form="matmulnbits")
    types = [n.op_type for n in all_nodes(packed.graph) if n.name in {"inner", "outer"}]
    assert types == ["MatMulNBits"] * 2
    sample = {
        "x": rng.normal(size=(3, 32)).astype(np.float32),
        "n": np.asarray(2),
    }
    exact = run(standard, sample, merge=False)
    np.testing.assert_allclose(run(packed, sample), exact, rtol=1e-5, atol=1e-5)


def test_products_inside_find_their_scales_when_they_run(nested, runs, run):
    quantized = quantize(nested, activation="dynamic")
    types = [n.op_type for n in all_nodes(quantized.graph)]
    assert types.count("MatMulInteger") == 3
    for sample in runs:
        assert sqnr(run(nested, sample), run(quantized, sample)) > 25


@pytest.mark.parametrize("activation", ["int8", "float8_e4m3fn", "mxfp8_e4m3"])
def test_products_inside_can_be_of_rounded_floats(rough, run, activation):
    looped, runs = rough
    options = {"activation": activation, "fake": True, "include": ["inner"]}
    quantized = quantize(looped, runs, **options)
    assert not any("Linear" in n.op_type for n in all_nodes(quantized.graph))
    for sample in runs:
        assert sqnr(run(looped, sample), run(quantized, sample)) > 20


@pytest.mark.parametrize("activation", ["uint16", "float8_e4m3fn"])
def test_other_codes_inside(rough, run, activation):
    looped, runs = rough
    quantized = quantize(looped, runs, activation=activation)
    types = [n.op_type for n in all_nodes(quantized.graph)]
    assert types.count("QuantizeLinear") == 2
    for sample in runs:
        assert sqnr(run(looped, sample), run(quantized, sample)) > 20


@pytest.mark.parametrize("target", ["tensorrt", "openvino"])
def test_other_targets_read_codes_inside(nested, runs, run, target):
    quantized = quantize(nested, runs, target=target)
    assert decoded(quantized) == {"left", "deep", "outer"}
    for sample in runs:
        assert sqnr(run(nested, sample), run(quantized, sample)) > 25


def test_products_inside_are_chosen_by_name(looped, runs):
    planned = plan(looped, exclude=["inn*"])
    assert [(k.node, k.reason) for k in planned.kept_float] == [
        ("inner", "it is excluded")
    ]
    assert decoded(quantize(looped, runs, include=["inner"])) == {"inner"}


def test_tensors_inside_have_overrides_by_name(looped, runs):
    asked = {"s": {"range": (-16, 16)}, "v": {"format": "int8", "method": "minmax"}}
    quantized = quantize(looped, runs, overrides=asked, recover="none")
    held = constants(quantized)
    np.testing.assert_allclose(held["s_scale"], 32 / 255, rtol=1e-6)
    assert held["v_quantized"].dtype == np.int8


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


def test_a_model_of_opset_13_is_seen_inside(build, rng):
    given = {"v": integers(rng, 4, 4), "w": integers(rng, 4, 3)}
    model = build(*BRANCHED, BRANCHES, opset=13, **given)
    sample = {"x": integers(rng, 2, 4), "p": np.asarray(False)}
    assert same_counts(calibrate(model, [sample])["n"], -sample["x"])
