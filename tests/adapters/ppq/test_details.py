"""What `detail` asks of single tensors: item S2.17."""

from collections.abc import Callable, Iterator

import numpy as np
import onnx
import pytest

import qcore
from qcore.adapters import ppq
from qcore.adapters.ppq import details

Samples = list[dict[str, np.ndarray]]
Seen = Callable[[str], np.ndarray]


class Unread:
    """Samples that tell whether anybody asked for them."""

    was_read = False

    def __iter__(self) -> Iterator[np.ndarray]:
        self.was_read = True
        return iter(())


def calibrated(
    graph: ppq.QuantizedGraph, samples: Samples, method: str, key: str, value: object
) -> ppq.TensorQuantizationConfig:
    config = graph.tensors["x"]
    config.detail[key] = value
    ppq.RuntimeCalibrationPass(method).optimize(graph, samples)
    return config


@pytest.mark.parametrize("share", [0.9, 0.99])
def test_s2_17_the_share_of_a_percentile_is_out_of_1(
    graph: ppq.QuantizedGraph, samples: Samples, seen: Seen, share: float
) -> None:
    key = details.OBSERVER_PERCENTILE_MANUL_OVERRIDE
    config = calibrated(graph, samples, "percentile", key, share)
    x = seen("x").ravel()
    low, high = np.quantile(x, [(1 - share) / 2, (1 + share) / 2])
    np.testing.assert_allclose(config.scale, (high - low) / 255, rtol=0.01)


def test_s2_17_without_it_a_percentile_keeps_0_9999(
    graph: ppq.QuantizedGraph, samples: Samples
) -> None:
    key = details.OBSERVER_PERCENTILE_MANUL_OVERRIDE
    config = calibrated(graph, samples, "percentile", key, 0.9999)
    plain = qcore.calibrate(
        graph.statistics["x"], config.spec, "percentile", percentile=99.99
    )
    assert config.scale == plain.scale
    del config.detail[key]
    ppq.RuntimeCalibrationPass(override=True).optimize(graph, samples)
    assert config.scale == plain.scale


@pytest.mark.parametrize(
    ("method", "key"),
    [
        ("kl", details.OBSERVER_KL_HIST_BINS_MANUL_OVERRIDE),
        ("mse", details.OBSERVER_MSE_HIST_BINS_MANUL_OVERRIDE),
    ],
)
def test_s2_17_bins_are_those_of_the_histogram(
    graph: ppq.QuantizedGraph, samples: Samples, method: str, key: str
) -> None:
    calibrated(graph, samples, method, key, 256)
    of_x, of_r = (graph.statistics[name] for name in "xr")
    assert (of_x.bins, of_r.bins) == (256, 2048)


def test_s2_17_the_interval_of_mse_is_that_of_its_candidates(
    graph: ppq.QuantizedGraph, samples: Samples
) -> None:
    key = details.OBSERVER_MSE_COMPUTE_INTERVAL_MANUL_OVERRIDE
    config = calibrated(graph, samples, "mse", key, 10**6)
    x = np.concatenate([sample["x"] for sample in samples])
    # All that is left is the range of a single slot, and that of the values seen.
    np.testing.assert_allclose(config.scale, np.ptp(x) / 255, rtol=0.01)


def test_s2_17_the_axis_of_isotone_is_that_of_the_classes(
    graph: ppq.QuantizedGraph, samples: Samples
) -> None:
    key = details.OBSERVER_ISOTONE_OBSERVER_AXIS
    calibrated(graph, samples, "isotone", key, 1)
    assert (graph.statistics["x"].axis, graph.statistics["r"].axis) == (1, -1)


def test_s2_17_a_key_of_another_method_is_passed_over(
    graph: ppq.QuantizedGraph, samples: Samples
) -> None:
    key = details.OBSERVER_PERCENTILE_MANUL_OVERRIDE
    config = calibrated(graph, samples, "minmax", key, 0.5)
    x = np.concatenate([sample["x"] for sample in samples])
    np.testing.assert_allclose(config.scale, np.ptp(x) / 255, rtol=1e-6)


@pytest.mark.parametrize(
    ("key", "why"),
    [
        (details.OBSERVER_MIN_SCALE_MANUL_OVERRIDE, "scales have no floor"),
        (details.OBSERVER_FLOATING_MSE_FETCHES_MANUL_OVERRIDE, "with all values"),
    ],
)
def test_s2_17_what_nothing_corresponds_to_is_refused(
    graph: ppq.QuantizedGraph, samples: Samples, key: str, why: str
) -> None:
    with pytest.raises(qcore.QuantError, match=why):
        calibrated(graph, samples, "mse", key, 1)


def test_s2_17_a_key_that_is_not_known_is_refused(
    graph: ppq.QuantizedGraph, samples: Samples
) -> None:
    with pytest.raises(qcore.QuantError, match="did you mean 'OBSERVER_PERCENTILE"):
        calibrated(graph, samples, "mse", "OBSERVER_PERCENTILE", 0.9)


def test_s2_17_the_percentile_of_a_weight_is_its_own(
    net: onnx.ModelProto, samples: Samples, constants: dict[str, np.ndarray]
) -> None:
    # onnxruntime needs larger scales of weights than this leaves.
    graph = ppq.QuantizedGraph(net, platform=ppq.TargetPlatform.PPL_CUDA_INT8)
    weight, key = graph.tensors["w3"], details.OBSERVER_PERCENTILE_MANUL_OVERRIDE
    weight.observer_algorithm = "percentile"
    scales = []
    for share in (1, 0.5):
        weight.detail[key] = share
        ppq.RuntimeCalibrationPass().optimize(graph, samples)
        ppq.PassiveParameterQuantizePass().optimize(graph)
        scales.append(weight.scale)
    magnitudes = np.sort(np.abs(constants["w3"]), axis=1)
    wanted = magnitudes[:, [-1, 5]].T[..., None] / 127  # 6 of 12 are kept
    np.testing.assert_allclose(scales, wanted, rtol=0.01)


def test_s2_17_statistics_of_weights_have_no_options(
    graph: ppq.QuantizedGraph, samples: Samples
) -> None:
    weight = graph.tensors["w1"]
    weight.observer_algorithm = "kl"
    weight.detail[details.OBSERVER_KL_HIST_BINS_MANUL_OVERRIDE] = 64
    ppq.RuntimeCalibrationPass().optimize(graph, samples)
    with pytest.raises(qcore.QuantError, match="`detail` of 'w1'"):
        ppq.PassiveParameterQuantizePass().optimize(graph)


def test_s2_17_a_share_beyond_1_is_refused_before_data_is_run(
    graph: ppq.QuantizedGraph,
) -> None:
    graph.tensors["x"].detail[details.OBSERVER_PERCENTILE_MANUL_OVERRIDE] = 99.99
    unread = Unread()
    with pytest.raises(qcore.QuantError, match="'x': `percentile` must lie in"):
        ppq.RuntimeCalibrationPass().optimize(graph, unread)
    assert not unread.was_read
