"""IsotoneCalibrationPass: a softmax keeps its likeliest class."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest

import qcore
from qcore.adapters import ppq

Build = Callable[..., onnx.ModelProto]


@pytest.fixture
def softmax(build: Build, rng: np.random.Generator) -> onnx.ModelProto:
    """Return a network in which a product reads what a softmax gives."""
    w = rng.normal(size=(6, 6)).astype(np.float32)
    body = "{ a = MatMul(x, w)\n p = Softmax(a)\n y = MatMul(p, v) }"
    return build("float[N, 6] x", "float[N, 4] y", body, w=w, v=w[:, :4].copy())


@pytest.fixture
def rows(rng: np.random.Generator) -> np.ndarray:
    return (2 * rng.normal(size=(64, 6))).astype(np.float32)


def test_results_of_softmax_are_those_by_default(
    softmax: onnx.ModelProto, rows: np.ndarray
) -> None:
    graph = ppq.QuantizedGraph(softmax)
    ppq.RuntimeCalibrationPass("minmax").optimize(graph, [rows])
    before = graph.tensors["x"].scale
    ppq.IsotoneCalibrationPass().optimize(graph, [rows])
    methods = {name: graph.tensors[name].observer_algorithm for name in "xp"}
    assert methods == {"x": "minmax", "p": "isotone"}
    assert graph.tensors["x"].scale == before


def test_every_row_keeps_its_likeliest_class(
    softmax: onnx.ModelProto, rows: np.ndarray
) -> None:
    graph = ppq.QuantizedGraph(softmax)
    ppq.IsotoneCalibrationPass().optimize(graph, [rows])
    w = onnx.numpy_helper.to_array(softmax.graph.initializer[0])
    p = np.exp(rows @ w)
    p /= p.sum(axis=1, keepdims=True)
    config = graph.tensors["p"]
    codes = np.clip(np.rint(p / config.scale) + config.offset, 0, 255)
    assert config.offset == 0
    np.testing.assert_array_equal(codes.argmax(axis=1), p.argmax(axis=1))


def test_other_tensors_can_be_named_with_their_axis(
    softmax: onnx.ModelProto, rows: np.ndarray
) -> None:
    graph = ppq.QuantizedGraph(softmax)
    ppq.IsotoneCalibrationPass(["x"], axis=0).optimize(graph, [rows])
    assert graph.statistics["x"].axis == 0
    assert graph.statistics.keys() == {"x"}


@pytest.mark.parametrize("name", ["a", "w", "x"])
def test_what_is_no_quantized_activation_is_refused(
    softmax: onnx.ModelProto, rows: np.ndarray, name: str
) -> None:
    graph = ppq.QuantizedGraph(softmax)
    graph.tensors["x"].state = ppq.QuantizationStates.FP32
    with pytest.raises(qcore.QuantError, match=f"'{name}' must be an activation"):
        ppq.IsotoneCalibrationPass([name]).optimize(graph, [rows])


def test_a_network_without_softmax_is_left_as_it_is(
    graph: ppq.QuantizedGraph, samples: list[dict[str, np.ndarray]]
) -> None:
    ppq.IsotoneCalibrationPass().optimize(graph, samples)
    assert graph.statistics == {}
