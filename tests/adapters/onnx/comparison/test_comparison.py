"""Figures against those that numpy computes of what onnxruntime itself gives."""

import weakref
from collections.abc import Iterator

import numpy as np
import onnx
import onnxruntime
import pytest

from qcore.adapters.onnx import (
    ModelComparison,
    TensorComparison,
    compare,
    compare_each,
    quantize,
)
from qcore.errors import QuantError

FLAT = "float[N, 4] x"


def silent(samples, _):
    return samples


def found(a, b, data, **options) -> ModelComparison:
    return compare(a, b, data, progress=silent, **options)


def named(result: ModelComparison) -> dict[str, TensorComparison]:
    return {tensor.name: tensor for tensor in (*result.outputs, *result.tensors)}


def values(model, name, feeds, merge=False) -> np.ndarray:
    """Return what a tensor of a model is in all samples, in float64."""
    model = onnx.ModelProto.FromString(model.SerializeToString())
    if name not in [value.name for value in model.graph.output]:
        model.graph.output.append(onnx.ValueInfoProto(name=name))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if not merge:
        level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.graph_optimization_level = level
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    arrays = [session.run([name], feed)[0].ravel() for feed in feeds]
    return np.concatenate(arrays).astype(np.float64)


def figures(wanted: np.ndarray, got: np.ndarray) -> list[float]:
    norms = [np.linalg.norm(x) for x in (wanted, got, wanted - got)]
    cosine = wanted @ got / (norms[0] * norms[1])
    return [20 * np.log10(norms[0] / norms[2]), cosine]


@pytest.fixture
def quantized(net, samples) -> onnx.ModelProto:
    return quantize(net, samples)


@pytest.mark.parametrize("deployed", [False, True])
def test_outputs_have_the_figures_that_numpy_computes(
    net, quantized, samples, deployed
) -> None:
    result = found(net, quantized, samples, deployed=deployed)
    (y,) = result.outputs
    expected = figures(
        values(net, "y", samples), values(quantized, "y", samples, merge=deployed)
    )
    np.testing.assert_allclose([y.sqnr, y.cosine], expected, rtol=1e-6)
    assert (result.samples, result.deployed) == (len(samples), deployed)


@pytest.mark.parametrize(
    ("name", "op_type"), [("x", ""), ("r", "Relu"), ("p", "MaxPool"), ("t", "Relu")]
)
def test_what_is_in_codes_is_compared_as_it_comes_out_of_them(
    net, quantized, samples, name, op_type
) -> None:
    tensor = named(found(net, quantized, samples))[name]
    twin = f"{name}_dequantized"
    assert (tensor.counterpart, tensor.op_type) == (twin, op_type)
    expected = figures(values(net, name, samples), values(quantized, twin, samples))
    np.testing.assert_allclose([tensor.sqnr, tensor.cosine], expected, rtol=1e-6)


def test_what_is_not_in_codes_is_compared_as_it_is(net, quantized, samples) -> None:
    tensor = named(found(net, quantized, samples))["c"]
    expected = figures(values(net, "c", samples), values(quantized, "c", samples))
    assert tensor.counterpart == "c"
    np.testing.assert_allclose([tensor.sqnr, tensor.cosine], expected, rtol=1e-6)


def test_the_worst_tensor_comes_first(net, quantized, samples) -> None:
    ratios = [tensor.sqnr for tensor in found(net, quantized, samples).tensors]
    assert len(ratios) > 4
    assert ratios == sorted(ratios)


def test_what_was_merged_is_told(build, rng, samples) -> None:
    kernel = rng.normal(size=(4, 3, 3, 3)).astype(np.float32)
    ones = np.ones(4, np.float32)
    body = """{
        c = Conv<pads = [1, 1, 1, 1]>(x, w)
        b = BatchNormalization(c, s, o, m, v)
        [last] y = Conv(b, k)
    }"""
    constants = {"w": kernel, "s": 2 * ones, "o": ones, "m": 0 * ones, "v": 3 * ones}
    last = rng.normal(size=(2, 4, 1, 1)).astype(np.float32)
    model = build(
        "float[N, 3, 8, 8] x", "float[N, 2, 8, 8] y", body, k=last, **constants
    )
    result = found(model, quantize(model, samples), samples)
    assert dict(result.unmatched) == {
        "c": "the quantized model has no tensor of its name"
    }
    assert named(result)["b"].sqnr > 30


def test_equal_models_differ_nowhere(net, samples) -> None:
    result = found(net, net, samples)
    tensors = (*result.outputs, *result.tensors)
    assert {(t.sqnr, t.cosine) for t in tensors} == {(np.inf, 1.0)}
    assert "x" not in named(result)  # an input that is not quantized


def test_samples_may_differ_in_shape_and_weigh_by_their_values(build, rng) -> None:
    models = [
        build(FLAT, FLAT.replace("x", "y"), "{ y = Mul(x, k) }", k=np.float32(k))
        for k in (1, 1.25)
    ]
    data = [{"x": rng.normal(size=(n, 4)).astype(np.float32)} for n in (1, 5, 2)]
    (y,) = found(*models, data).outputs
    assert y.sqnr == pytest.approx(20 * np.log10(4))
    assert y.cosine == pytest.approx(1)


def test_integers_are_compared_by_how_many_are_equal(build) -> None:
    body = "{ s = Mul(x, k)\n y = ArgMax<axis = 1, keepdims = 0>(s) }"
    models = [
        build(FLAT, "int64[N] y", body, k=np.array(k, np.float32))
        for k in ([1, 1, 1, 1], [9, 1, 1, 1])
    ]
    data = [{"x": np.eye(4, dtype=np.float32)}, {"x": np.ones((1, 4), np.float32)}]
    data[0]["x"][1, 0] = 0.5  # nine times that wins
    (y,) = found(*models, data).outputs
    assert (y.sqnr, y.cosine, y.equal) == (None, None, 0.8)


@pytest.mark.parametrize(
    ("factors", "figures"),
    [((1, 1), (np.inf, 1)), ((0, 0), (np.inf, 1)), ((0, 1), (-np.inf, 0))],
)
def test_constants_have_figures(build, factors, figures) -> None:
    models = [
        build(FLAT, FLAT.replace("x", "y"), "{ y = Mul(x, k) }", k=np.float32(k))
        for k in factors
    ]
    (y,) = found(*models, [{"x": np.ones((1, 4), np.float32)}]).outputs
    assert (y.sqnr, y.cosine) == figures


def test_nan_of_both_agrees_and_of_one_is_the_worst(build) -> None:
    body = "{ h = Log(x)\n s = Mul(h, k)\n y = Add(s, o) }"
    models = [
        build(
            FLAT,
            FLAT.replace("x", "y"),
            body,
            k=np.float32(2),
            o=np.array([0, 0, 0, o], np.float32),
        )
        for o in (0, np.nan)
    ]
    data = [{"x": np.array([[-1, 2, 0, 3]], np.float32)}]
    result = found(*models, data)
    assert [tensor.sqnr for tensor in result.tensors] == [np.inf, np.inf]
    assert result.outputs[0].sqnr == -np.inf
    assert np.isnan(result.outputs[0].cosine)


def test_tensors_of_unequal_shape_are_told(build) -> None:
    a, b = (
        build(FLAT, "float[N] y", f"{{ h = Concat<axis = 1>({x})\n y = {sum_} }}")
        for x, sum_ in (
            ("x", "ReduceMax<axes = [1], keepdims = 0>(h)"),
            ("x, x", "ReduceMax<axes = [1], keepdims = 0>(h)"),
        )
    )
    result = found(a, b, [{"x": np.ones((1, 4), np.float32)}])
    assert result.outputs[0].sqnr == np.inf
    assert dict(result.unmatched) == {"h": "its shape is (1, 4) and (1, 8) in sample 0"}


def test_outputs_of_other_names_are_matched_in_their_order(build) -> None:
    a, b = (
        build(FLAT, f"float[N, 4] {y}", f"{{ {y} = Neg(x) }}") for y in ("y", "other")
    )
    (y,) = found(a, b, [{"x": np.ones((1, 4), np.float32)}]).outputs
    assert (y.name, y.counterpart, y.sqnr) == ("y", "other", np.inf)


def test_models_in_16_bits_are_compared(build, rng) -> None:
    weight = rng.normal(size=(4, 3)).astype(np.float16)
    model = build(
        "float16[N, 4] x", "float16[N, 3] y", "{ y = MatMul(x, w) }", 19, w=weight
    )
    data = [{"x": rng.normal(size=(8, 4)).astype(np.float16)} for _ in range(4)]
    result = found(model, quantize(model, data), data)
    assert 30 < result.outputs[0].sqnr < 60
    assert [tensor.name for tensor in result.tensors] == ["x"]


def test_initializers_may_be_among_the_inputs(build) -> None:
    model = build(FLAT, FLAT.replace("x", "y"), "{ y = Mul(x, k) }", 8, k=np.float32(2))
    model.ir_version = 3
    scalar = onnx.helper.make_tensor_value_info("k", onnx.TensorProto.FLOAT, [])
    model.graph.input.append(scalar)
    data = [{"x": np.ones((1, 4), np.float32)}]
    assert found(model, model, data).outputs[0].sqnr == np.inf


def test_the_graphs_given_stay_as_they_are(net, quantized, samples) -> None:
    before = [model.SerializeToString() for model in (net, quantized)]
    found(net, quantized, samples)
    assert [model.SerializeToString() for model in (net, quantized)] == before


def test_samples_are_held_one_at_a_time(net, samples) -> None:
    alive: list[weakref.ref] = []
    most = 0

    def stream() -> Iterator[dict[str, np.ndarray]]:
        nonlocal most
        for sample in samples:
            array = sample["x"].copy()
            alive.append(weakref.ref(array))
            most = max(most, sum(ref() is not None for ref in alive))
            yield {"x": array}

    found(net, net, stream())
    assert most <= 2  # the next one, while the last is let go of


@pytest.mark.parametrize(
    ("body", "inputs", "outputs", "said"),
    [
        ("{ y = Neg(z) }", "float[N, 4] z", "float[N, 4] y", "the same inputs; got"),
        (
            "{ a = Neg(x)\n b = Neg(a) }",
            FLAT,
            "float[N, 4] a, float[N, 4] b",
            "the same outputs; got 'y' and 'a', 'b'",
        ),
    ],
)
def test_models_that_do_not_fit_each_other_are_refused(
    build, body, inputs, outputs, said
) -> None:
    a = build(FLAT, FLAT.replace("x", "y"), "{ y = Neg(x) }")
    with pytest.raises(QuantError, match=said):
        found(a, build(inputs, outputs, body), [])


def test_no_sample_is_an_error(net) -> None:
    with pytest.raises(QuantError, match="at least one sample; it has none"):
        found(net, net, [])


def test_several_models_are_compared_as_each_alone(net, quantized, samples) -> None:
    models = {"recovered": quantized, "rounded": quantize(net, samples, recover="none")}
    result = compare_each(net, models, iter(samples), progress=silent)
    assert {name: found(net, model, samples) for name, model in models.items()} == (
        result
    )


def test_no_quantized_model_is_an_error(net, samples) -> None:
    with pytest.raises(QuantError, match="must hold at least one; got none"):
        compare_each(net, {}, samples)
