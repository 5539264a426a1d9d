import weakref

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from qcore import Histogram, NonFiniteError, QuantError, Range
from qcore.adapters.onnx import calibrate

ELEMENTWISE = "{ a = Neg(x) b = Sqrt(a) y = Relu(b) }"


@pytest.fixture
def roots(build):
    """A model that is not finite where x is positive, of any length."""
    return build("float[N] x", "float[N] y", ELEMENTWISE)


def assert_same(state: Histogram, expected: Histogram) -> None:
    for field in Histogram.array_fields():
        np.testing.assert_array_equal(getattr(state, field), getattr(expected, field))


def test_statistics_are_those_of_the_tensors_of_the_float_model(net, samples):
    names = [name for node in net.graph.node for name in node.output]
    net.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names[:-1])
    reference = ReferenceEvaluator(net)
    results = [reference.run(names, sample) for sample in samples]
    states = calibrate(net, samples, tensors=names)
    assert list(states) == names
    for name, values in zip(names, zip(*results, strict=True), strict=True):
        np.testing.assert_allclose(states[name].max, np.max(values), rtol=1e-4)
        np.testing.assert_allclose(states[name].min, np.min(values), rtol=1e-4)


def test_what_is_calibrated_is_what_quantize_needs(net, samples):
    assert list(calibrate(net, samples)) == ["x", "r", "d", "t", "m"]


def test_samples_may_differ_in_shape(roots):
    parts = [-np.arange(n, dtype=np.float32) for n in (1, 5, 0, 3)]
    states = calibrate(roots, [{"x": part} for part in parts], tensors=["x", "a"])
    assert_same(states["x"], Histogram.of(np.concatenate(parts)))
    assert_same(states["a"], Histogram.of(-np.concatenate(parts)))


def test_one_sample_is_held_at_a_time(roots):
    seen = []

    def feeds():
        for _ in range(5):
            x = -np.ones(1000, np.float32)
            seen.append(weakref.ref(x))
            yield {"x": x}
            del x
            assert all(ref() is None for ref in seen[:-1])

    calibrate(roots, feeds(), tensors=["x", "b"])
    assert len(seen) == 5


def test_other_statistics_and_their_options_can_be_chosen(net, samples):
    ranges = calibrate(net, samples, statistics=Range, tensors=["d"])
    fine = calibrate(net, samples, bins=4096, tensors=["d"])["d"]
    assert isinstance(ranges["d"], Range)
    assert (fine.bins, fine.min, fine.max) == (4096, ranges["d"].min, ranges["d"].max)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.nan, "'x' holds NaN in sample 2; its input 'x' does too"),
        (-np.inf, "'x' holds infinity in sample 2; its input 'x' does too"),
        (1.0, "'b' holds NaN in sample 2; its inputs are finite"),
    ],
)
def test_values_that_are_not_finite_are_found_where_they_come_up(roots, bad, message):
    data = [{"x": np.float32([-1, x])} for x in (-1, -2, bad, np.nan)]
    with pytest.raises(NonFiniteError, match=message):
        calibrate(roots, data, tensors=["x", "a", "b", "y"])


def test_no_data_is_an_error(net):
    with pytest.raises(QuantError, match="at least one sample; it has none"):
        calibrate(net, [])


def test_a_model_with_nothing_to_quantize_is_refused(roots):
    with pytest.raises(QuantError, match="no Conv or Gemm or MatMul to quantize"):
        calibrate(roots, [{"x": np.zeros(3, np.float32)}])


def test_a_sample_that_does_not_fit_is_named(net, samples):
    data = [*samples, {"x": samples[0]["x"][0]}]
    with pytest.raises(QuantError, match=r"float32 \[N, 3, 8, 8\].* in sample 16"):
        calibrate(net, data)


def test_what_onnxruntime_cannot_run_is_told_by_the_error_alone(build, capfd):
    body = "{ y = MatMul(x, x) }"
    model = build("float[N, M] x", "float[N, M] y", body)
    with pytest.raises(QuantError, match="onnxruntime fails in sample 0"):
        calibrate(model, [{"x": np.zeros((2, 3), np.float32)}], tensors=["y"])
    assert capfd.readouterr() == ("", "")


def test_a_model_that_onnxruntime_cannot_load_is_told(build):
    model = build("float[N] x", "float[N] y", "{ y = Relu(x) }")
    model.graph.node[0].domain = "mine"
    model.opset_import.add(domain="mine", version=1)
    with pytest.raises(QuantError, match="must load in onnxruntime, which says"):
        calibrate(model, [{"x": np.zeros(3, np.float32)}], tensors=["y"])


@pytest.mark.parametrize(
    ("tensor", "message"),
    [("tt", "no tensor 'tt' to calibrate; did you mean 't'"), ("w1", "no tensor 'w1'")],
)
def test_a_tensor_that_is_none_of_the_model_is_refused(net, samples, tensor, message):
    with pytest.raises(QuantError, match=message):
        calibrate(net, samples, tensors=[tensor])


def test_integers_are_not_calibrated(build):
    model = build("int64[N] x", "int64[N] y", "{ y = Neg(x) }")
    with pytest.raises(QuantError, match="'y' must be floating-point; it is INT64"):
        calibrate(model, [{"x": np.arange(3)}], tensors=["y"])


def test_progress_is_told_the_number_of_samples(net, samples):
    told = []

    def progress(feeds, total):
        told.append(total)
        return feeds

    calibrate(net, samples, progress=progress)
    calibrate(net, iter(samples), progress=progress)
    assert told == [16, None]


def test_nothing_is_printed_where_stderr_is_no_terminal(net, samples, capfd):
    calibrate(net, samples)
    assert capfd.readouterr() == ("", "")


def test_a_model_keeps_its_outputs(net, samples):
    before = net.SerializeToString()
    calibrate(net, samples)
    assert net.SerializeToString() == before
