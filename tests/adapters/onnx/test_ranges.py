import numpy as np
import pytest

from qcore import Histogram, Range
from qcore.adapters.onnx.graph.tensors import tensors_by_name
from qcore.adapters.onnx.prepare import prepare
from qcore.adapters.onnx.ranges import activation_mean_ratios, find_statistics

X = np.float32([[1, 2], [3, 4]])
MOVES = "{ a = Neg(x)  t = Transpose(x)  j = Concat<axis = 0>(t, a)  y = Relu(j) }"


@pytest.fixture
def graph(build):
    return prepare(build("float[2, 2] x", "float[4, 2] y", MOVES)).graph


def test_statistics_of_joined_tensors_are_merged(graph):
    statistics = {"x": Histogram.of(X), "a": Histogram.of(-X)}
    found = find_statistics(tensors_by_name(graph)["j"], statistics)
    both = Histogram.of(np.concatenate([X, -X]))
    np.testing.assert_array_equal(found.counts, both.counts)


def test_a_tensors_own_statistics_come_first(graph):
    statistics = {"x": Histogram.of(X), "t": Histogram.of(2 * X)}
    assert find_statistics(tensors_by_name(graph)["t"], statistics) is statistics["t"]


@pytest.mark.parametrize("known", [[], ["x"], ["j"]])
def test_values_that_were_computed_are_not_those_of_their_source(graph, known):
    statistics = {name: Histogram.of(X) for name in known}
    values = tensors_by_name(graph)
    assert find_statistics(values["y"], statistics) is None
    assert find_statistics(values["a"], statistics) is None
    assert (find_statistics(values["j"], statistics) is None) == ("j" not in known)


@pytest.mark.parametrize(("kind", "expected"), [(Histogram, 2.5**2 / 1.25), (Range, 0)])
def test_the_mean_ratio_is_that_of_the_values_seen(graph, kind, expected):
    ratios = activation_mean_ratios(graph, ["t"], {"x": kind.of(X)})
    assert ratios["t"] == pytest.approx(expected, rel=1e-2)
