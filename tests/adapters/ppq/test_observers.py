"""Calibration by classes of the user's: item S2.13."""

from typing import Any

import numpy as np
import pytest

import qcore
from qcore.adapters import ppq

Samples = list[dict[str, np.ndarray]]

pytestmark = pytest.mark.usefixtures("own_methods")


class HalfMax:
    """Half of the largest magnitude."""

    def __init__(self) -> None:
        self.largest = 0.0

    def observe(self, x: np.ndarray) -> None:
        self.largest = max(self.largest, float(np.abs(x).max()))

    def render(self) -> tuple[float, float]:
        return 0.0, self.largest / 2


def test_s2_13_a_registered_observer_is_used_by_name(
    graph: ppq.QuantizedGraph, samples: Samples
) -> None:
    ppq.register_calibration_observer("HalfMax", HalfMax)
    ppq.RuntimeCalibrationPass("halfmax").optimize(graph, samples)
    largest = max(np.abs(sample["x"]).max() for sample in samples)
    np.testing.assert_allclose(graph.tensors["x"].scale, largest / 2 / 255, rtol=1e-6)
    assert graph.tensors["x"].offset == 0


def test_s2_13_the_registry_is_that_of_register_method() -> None:
    ppq.register_calibration_observer("halfmax", HalfMax)
    assert "halfmax" in qcore.methods()


def test_s2_13_a_method_of_register_method_is_used_by_name(
    graph: ppq.QuantizedGraph, samples: Samples
) -> None:
    @qcore.register_method("four", needs=(qcore.Range,))
    def four(statistics: qcore.Range, _: qcore.QuantSpec, /, *, xp: Any) -> Any:
        assert xp is not None
        return 0 * statistics.min, 0 * statistics.max + 4

    ppq.RuntimeCalibrationPass("four").optimize(graph, samples)
    np.testing.assert_allclose(graph.tensors["x"].scale, 4 / 255, rtol=1e-6)


def test_s2_13_a_name_may_be_taken_unless_that_is_ruled_out() -> None:
    ppq.register_calibration_observer("halfmax", HalfMax)
    ppq.register_calibration_observer("halfmax", HalfMax)
    with pytest.raises(ValueError, match="'halfmax' is registered already"):
        ppq.register_calibration_observer("halfmax", HalfMax, overwrite=False)


def test_s2_13_what_is_no_class_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="`observer` must be a class"):
        ppq.register_calibration_observer("halfmax", HalfMax())


def test_s2_13_a_class_that_cannot_render_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="must have a method `observe`; int has none"):
        ppq.register_calibration_observer("int", int)


@pytest.mark.parametrize(
    "given", [None, (1,), (2, 1), (0, float("nan")), (0, np.inf), "ab"]
)
def test_s2_13_what_is_no_range_is_refused_by_its_tensor(
    graph: ppq.QuantizedGraph, samples: Samples, given: Any
) -> None:
    class Odd(HalfMax):
        def render(self) -> Any:
            return given

    ppq.register_calibration_observer("odd", Odd)
    with pytest.raises(qcore.QuantError, match="while calibrating 'x': `render`"):
        ppq.RuntimeCalibrationPass("odd").optimize(graph, samples)


def test_s2_13_tensors_that_share_a_scale_hold_the_ranges_of_all(
    build: Any, rng: np.random.Generator
) -> None:
    ppq.register_calibration_observer("halfmax", HalfMax)
    w = rng.normal(size=(2, 2, 1, 1)).astype(np.float32)
    v = rng.normal(size=(2, 4, 1, 1)).astype(np.float32)
    body = """{
        a = Conv(x, w)
        b = Conv(x, u)
        c = Concat<axis = 1>(a, b)
        y = Conv(c, v)
    }"""
    ends = "float[1, 2, 4, 4] x", "float[1, 2, 4, 4] y"
    graph = ppq.QuantizedGraph(build(*ends, body, w=w, u=4 * w, v=v))
    x = rng.normal(size=(1, 2, 4, 4)).astype(np.float32)
    ppq.RuntimeCalibrationPass("halfmax").optimize(graph, [x])
    b = np.einsum("nchw,oc->nohw", x, 4 * w[:, :, 0, 0])
    scale = np.abs(b).max() / 2 / 255
    for name in "abc":
        np.testing.assert_allclose(graph.tensors[name].scale, scale, rtol=1e-5)


def test_an_observer_sees_float32_of_the_shape_in_the_model(
    graph: ppq.QuantizedGraph, samples: Samples
) -> None:
    seen: list[tuple[Any, Any]] = []

    class Noting(HalfMax):
        def observe(self, x: np.ndarray) -> None:
            seen.append((x.shape, x.dtype))

    ppq.register_calibration_observer("noting", Noting)
    graph.tensors["x"].observer_algorithm = "noting"
    ppq.RuntimeCalibrationPass(calib_steps=8).optimize(graph, samples)
    assert seen == 8 * [((1, 2, 8, 8), np.dtype(np.float32))]


def test_nan_is_told_with_tensor_and_sample(
    graph: ppq.QuantizedGraph, samples: Samples
) -> None:
    ppq.register_calibration_observer("halfmax", HalfMax)
    samples[3]["x"][0, 0, 0, 0] = np.nan
    with pytest.raises(qcore.NonFiniteError, match="'x' holds NaN in sample 3"):
        ppq.RuntimeCalibrationPass("halfmax").optimize(graph, samples)
