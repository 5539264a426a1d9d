"""RuntimeCalibrationPass: the items S2.1 to S2.10, S2.12 and S2.14."""

from collections.abc import Callable, Iterator

import numpy as np
import onnx
import pytest

import qcore
from qcore.adapters import ppq
from qcore.adapters.ppq import QuantizationStates as States

Seen = Callable[[str], np.ndarray]
Samples = list[dict[str, np.ndarray]]

SYMMETRIC = ppq.TargetPlatform.PPL_CUDA_INT8


def activations(graph: ppq.QuantizedGraph) -> list[ppq.TensorQuantizationConfig]:
    return [c for c in graph.tensors.values() if not c.is_parameter]


def calibrated(
    net: onnx.ModelProto,
    samples: Samples,
    method: str,
    platform: ppq.TargetPlatform = SYMMETRIC,
) -> ppq.QuantizedGraph:
    graph = ppq.QuantizedGraph(net, platform=platform)
    ppq.RuntimeCalibrationPass(method).optimize(graph, samples)
    return graph


def test_s2_1_a_symmetric_range_has_offset_0_and_clips_round_x_over_scale(
    net: onnx.ModelProto, samples: Samples, seen: Seen
) -> None:
    graph = calibrated(net, samples, "minmax")
    x, config = seen("x"), graph.tensors["x"]
    assert config.offset == 0
    assert config.scale == np.abs(x).max() / np.float32(127)
    codes = np.clip(np.rint(x / config.scale), -128, 127)
    np.testing.assert_array_equal(qcore.quantize(x, config.qparams), codes)


def test_s2_1_an_asymmetric_range_has_the_offset_of_its_lowest_value(
    net: onnx.ModelProto, samples: Samples, seen: Seen
) -> None:
    graph = calibrated(net, samples, "minmax", ppq.TargetPlatform.ONNXRUNTIME)
    x, config = seen("x").astype(np.float64), graph.tensors["x"]
    scale = (x.max() - x.min()) / 255
    np.testing.assert_allclose(config.scale, scale, rtol=1e-6)
    assert config.offset == np.rint(-x.min() / scale)


def test_s2_2_what_is_not_initial_is_left_as_it_is(
    graph: ppq.QuantizedGraph, samples: Samples
) -> None:
    ppq.RuntimeCalibrationPass("minmax").optimize(graph, samples)
    before = {c.name: c.scale for c in activations(graph)}
    ppq.RuntimeCalibrationPass("minmax").optimize(graph, [{"x": 9 * samples[0]["x"]}])
    assert {c.name: c.scale for c in activations(graph)} == before


def test_s2_2_what_stays_float_is_not_calibrated(
    graph: ppq.QuantizedGraph, samples: Samples
) -> None:
    graph.tensors["x"].state = States.FP32
    ppq.RuntimeCalibrationPass().optimize(graph, samples)
    assert graph.tensors["x"].scale is None
    assert graph.tensors["w1"].state is States.FP32


def test_s2_2_what_was_moved_from_floats_is_calibrated_for_itself(
    graph: ppq.QuantizedGraph, samples: Samples, seen: Seen
) -> None:
    graph.tensors["r"].state = States.FP32
    ppq.RuntimeCalibrationPass("minmax").optimize(graph, samples)
    pooled = graph.tensors["p"]
    assert pooled.dominated_by is pooled
    np.testing.assert_allclose(pooled.scale, seen("p").max() / 255, rtol=1e-5)


def test_s2_3_override_calibrates_what_is_activated_anew(
    graph: ppq.QuantizedGraph, samples: Samples
) -> None:
    ppq.RuntimeCalibrationPass("minmax").optimize(graph, samples)
    before = graph.tensors["x"].scale
    larger = [{"x": 4 * sample["x"]} for sample in samples]
    ppq.RuntimeCalibrationPass("minmax", override=True).optimize(graph, larger)
    np.testing.assert_allclose(graph.tensors["x"].scale, 4 * before, rtol=1e-6)


def test_s2_4_scale_and_offset_are_written_and_the_state_is_activated(
    graph: ppq.QuantizedGraph, samples: Samples
) -> None:
    ppq.RuntimeCalibrationPass().optimize(graph, samples)
    assert {c.name for c in activations(graph) if c.state is States.ACTIVATED} == {
        *("x", "r", "k"),
    }
    assert all(c.scale > 0 and c.offset is not None for c in activations(graph))


def test_s2_5_constants_are_not_calibrated(
    graph: ppq.QuantizedGraph, samples: Samples
) -> None:
    ppq.RuntimeCalibrationPass().optimize(graph, samples)
    states = {c.state for c in graph.tensors.values() if c.is_parameter}
    assert states == {States.INITIAL, States.PASSIVE_INIT}


@pytest.mark.parametrize("method", ["MinMax", "KL", "MSE", "Percentile"])
def test_s2_6_the_method_may_be_in_any_case(
    net: onnx.ModelProto, samples: Samples, method: str
) -> None:
    a, b = (calibrated(net, samples, name) for name in (method, method.lower()))
    assert a.tensors["x"].scale == b.tensors["x"].scale


def test_s2_6_without_a_method_each_tensor_keeps_its_own(
    graph: ppq.QuantizedGraph, samples: Samples, seen: Seen
) -> None:
    graph.tensors["x"].observer_algorithm = "minmax"
    ppq.RuntimeCalibrationPass().optimize(graph, samples)
    x, r = (graph.tensors[name] for name in "xr")
    np.testing.assert_allclose(x.scale, np.ptp(seen("x")) / 255, rtol=1e-6)
    assert (x.observer_algorithm, r.observer_algorithm) == ("minmax", "percentile")


@pytest.mark.parametrize(
    "method", ["minmax", "kl", "percentile", "mse", "isotone", "constant", "floating"]
)
def test_s2_7_every_observer_of_the_table_is_there(
    net: onnx.ModelProto, samples: Samples, method: str
) -> None:
    graph = calibrated(net, samples, method)
    assert graph.tensors["x"].state is States.ACTIVATED


def test_s2_7_an_unknown_observer_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="did you mean 'minmax'"):
        ppq.RuntimeCalibrationPass("minmix")


@pytest.mark.parametrize("platform", [SYMMETRIC, ppq.TargetPlatform.ONNXRUNTIME])
@pytest.mark.parametrize("method", ["minmax", "mse", "percentile", "kl", "isotone"])
def test_s2_8_every_observer_takes_either_symmetry(
    net: onnx.ModelProto,
    samples: Samples,
    method: str,
    platform: ppq.TargetPlatform,
) -> None:
    config = calibrated(net, samples, method, platform).tensors["x"]
    assert config.is_symmetrical == (platform is SYMMETRIC)
    assert np.isfinite(config.scale)


@pytest.mark.parametrize("method", ["minmax", "mse", "percentile", "kl"])
def test_s2_8_every_observer_of_weights_takes_channels(
    graph: ppq.QuantizedGraph, samples: Samples, method: str
) -> None:
    ppq.ParameterQuantizePass(method).optimize(graph)
    ppq.RuntimeCalibrationPass().optimize(graph, samples)
    ppq.PassiveParameterQuantizePass().optimize(graph)
    assert graph.tensors["w2"].scale.shape == (3, 1, 1, 1)


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("method", ["minmax", "mse", "percentile", "kl", "isotone"])
def test_s2_8_channels_have_the_scales_that_each_has_alone(
    rng: np.random.Generator, method: str, symmetric: bool
) -> None:
    x = rng.gamma(2, [[1.0], [7.0]], size=(64, 2, 16)).astype(np.float32)
    spec = qcore.QuantSpec("int8" if symmetric else "uint8", symmetric=symmetric)
    kind = qcore.Top2 if method == "isotone" else qcore.Histogram
    options = {"format": spec.format} if method == "isotone" else {}
    seen = kind.of(x, granularity=qcore.PerChannel(1), **options)
    scale = qcore.calibrate(seen, spec, method).scale
    alone = [
        qcore.calibrate(kind.of(x[:, [i]], **options), spec, method).scale
        for i in range(2)
    ]
    np.testing.assert_array_equal(scale.ravel(), alone)


def test_s2_10_it_must_come_before_the_passive_parameter_pass(
    graph: ppq.QuantizedGraph,
) -> None:
    with pytest.raises(PermissionError, match="'x' is INITIAL"):
        ppq.PassiveParameterQuantizePass().optimize(graph)


def test_s2_12_it_can_be_made_without_arguments() -> None:
    made = ppq.RuntimeCalibrationPass()
    assert (made.method, made.override, made.calib_steps) == (None, False, 32)


def counting(samples: Samples, drawn: list[int]) -> Iterator[dict[str, np.ndarray]]:
    for sample in samples:
        drawn[0] += 1
        yield sample


@pytest.mark.parametrize("steps", [7, 513, 8.0])
def test_s2_14_steps_lie_from_8_to_512(
    graph: ppq.QuantizedGraph, samples: Samples, steps: int
) -> None:
    with pytest.raises(ValueError, match="`calib_steps` must be from 8 to 512"):
        ppq.RuntimeCalibrationPass(calib_steps=steps).optimize(graph, samples)


def test_s2_14_the_loader_starts_again_until_there_are_enough(
    graph: ppq.QuantizedGraph, samples: Samples
) -> None:
    ppq.RuntimeCalibrationPass().optimize(graph, samples[:3])
    values = int(graph.statistics["x"].counts.sum() + graph.statistics["x"].zeros.sum())
    assert values == 32 * samples[0]["x"].size


def test_s2_14_a_stream_is_read_only_so_far_as_it_is_needed(
    graph: ppq.QuantizedGraph, samples: Samples
) -> None:
    drawn = [0]
    stream = counting(4 * samples, drawn)
    ppq.RuntimeCalibrationPass(calib_steps=9).optimize(graph, stream)
    assert drawn == [9]


def test_s2_14_mse_needs_no_second_phase(
    graph: ppq.QuantizedGraph, samples: Samples
) -> None:
    collated: list[object] = []

    def collate(sample: object) -> object:
        collated.append(sample)
        return sample

    ppq.RuntimeCalibrationPass("mse").optimize(
        graph, samples, calib_steps=8, collate_fn=collate
    )
    assert len(collated) == 8
