"""SEMANTICS S1, item by item: the page of ModelOpt's `calib.histogram`."""

import inspect

import numpy as np
import pytest
import torch
from torch import nn

import qcore
from qcore.adapters.torch import calib
from qcore.adapters.torch import nn as quant_nn
from qcore.adapters.torch.calib import histogram
from qcore.adapters.torch.calib.calibrator import _Calibrator
from qcore.adapters.torch.calib.histogram import HistogramCalibrator, calibrate_weights
from qcore.adapters.torch.tensor_quant import QuantDescriptor
from tests.adapters.torch.acceptance import squared_error


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(5))


def outlier() -> torch.Tensor:
    """Uniform values below 1 and one that is ten times as large."""
    x = torch.rand(11, 7, 3, 3, generator=torch.Generator().manual_seed(1))
    x[1, 1, 1, 1] = 10.0
    return x


def collected(x: torch.Tensor, **given: object) -> HistogramCalibrator:
    calibrator = HistogramCalibrator(**given)
    calibrator.collect(x)
    return calibrator


def linear(**given: object) -> quant_nn.QuantLinear:
    """A layer of four rows, each ten times as large as the one before."""
    desc = QuantDescriptor(axis=0, **given)
    layer = quant_nn.QuantLinear(500, 4, quant_desc_weight=desc)
    with torch.no_grad():
        layer.weight.copy_(normal(4, 500) * torch.tensor([[1.0], [10], [100], [1000]]))
    return layer


def test_s1_01_the_module_exports_the_class_and_the_function() -> None:
    assert set(histogram.__all__) == {"HistogramCalibrator", "calibrate_weights"}
    assert calib.HistogramCalibrator is histogram.HistogramCalibrator
    assert calib.calibrate_weights is histogram.calibrate_weights


def test_s1_02_the_base_is_abstract_and_has_the_documented_methods() -> None:
    assert issubclass(HistogramCalibrator, _Calibrator)
    assert list(inspect.signature(_Calibrator).parameters)[:3] == [
        "num_bits",
        "axis",
        "unsigned",
    ]
    for name in ("collect", "reset", "compute_amax", "__repr__"):
        assert name in vars(_Calibrator)
    with pytest.raises(TypeError, match="abstract"):
        _Calibrator(8, None, False)


def test_s1_03_one_collection_serves_all_methods_any_number_of_times() -> None:
    calibrator = collected(outlier())
    methods = {
        "entropy": {},
        "mse": {"stride": 2},
        "percentile": {"percentile": 99.0},
    }
    first = [calibrator.compute_amax(m, **given) for m, given in methods.items()]
    again = [calibrator.compute_amax(m, **given) for m, given in methods.items()]
    assert first == again
    assert calibrator.compute_amax("percentile", percentile=50.0) < first[2]


def test_s1_04_the_constructor_has_the_documented_defaults() -> None:
    parameters = inspect.signature(HistogramCalibrator).parameters
    assert {name: p.default for name, p in list(parameters.items())[:7]} == {
        "num_bits": 8,
        "axis": None,
        "unsigned": False,
        "num_bins": 2048,
        "grow_method": None,
        "skip_zeros": False,
        "torch_hist": True,
    }


def test_s1_04_the_older_positional_call_is_accepted() -> None:
    calibrator = HistogramCalibrator(8, None, False)
    calibrator.collect(normal(100))
    assert (
        calibrator.compute_amax("percentile", percentile=100) == normal(100).abs().max()
    )


def test_s1_05_num_bits_is_an_integer_that_methods_follow() -> None:
    x = normal(20000)
    ranges = [collected(x, num_bits=n).compute_amax("mse") for n in (4, 6, 8)]
    assert ranges == sorted(ranges)
    assert ranges[0] < ranges[2]


def test_s1_05_num_bits_of_float8_finds_what_a_search_over_the_data_finds() -> None:
    def error(amax: float) -> float:
        scale = amax / 448
        cast = (x / scale).clamp(-448, 448).to(torch.float8_e4m3fn)
        return float((cast.double() * scale - x.double()).square().mean())

    x = outlier()
    found = error(float(collected(x, num_bits=(4, 3)).compute_amax("mse")))
    assert found <= 1.01 * min(error(amax) for amax in np.linspace(1, 10, 100))


def test_s1_06_an_axis_gives_the_range_of_each_channel_alone() -> None:
    x = normal(3, 4000) * torch.tensor([[1.0], [20.0], [300.0]])
    calibrator = collected(x, axis=(0,))
    for method in ("entropy", "mse", "percentile"):
        alone = [collected(row).compute_amax(method) for row in x]
        torch.testing.assert_close(
            calibrator.compute_amax(method), torch.stack(alone)[:, None]
        )


def test_s1_07_unsigned_codes_spread_over_twice_the_levels() -> None:
    x = normal(20000).abs()
    signed, unsigned = (
        collected(x, num_bits=4, unsigned=u).compute_amax("mse") for u in (False, True)
    )
    assert unsigned > signed


@pytest.mark.parametrize("num_bins", [512, 2048, 8192])
def test_s1_08_num_bins_is_the_resolution_of_a_percentile(num_bins: int) -> None:
    x = normal(50000).abs()
    found = collected(x, num_bins=num_bins).compute_amax("percentile", percentile=90)
    assert abs(found - np.percentile(x, 90)) <= x.max() / num_bins


@pytest.mark.parametrize("grow_method", ["append", "stretch"])
def test_s1_09_grow_method_is_accepted_and_changes_nothing(grow_method: str) -> None:
    batches = normal(100), normal(100) * 7
    growing, plain = HistogramCalibrator(grow_method=grow_method), HistogramCalibrator()
    for batch in batches:
        growing.collect(batch)
        plain.collect(batch)
    assert torch.equal(growing._calib_hist, plain._calib_hist)


def test_s1_10_zeros_are_counted_unless_they_are_skipped() -> None:
    x = torch.cat([torch.zeros(60), torch.arange(1.0, 41.0)])
    assert collected(x)._calib_hist.sum() == 100
    assert collected(x, skip_zeros=True)._calib_hist.sum() == 40


def test_s1_11_both_ways_to_count_give_the_same_histogram() -> None:
    x = normal(1000)
    here, host = collected(x), collected(x, torch_hist=False)
    assert torch.equal(here._calib_hist, host._calib_hist)
    assert torch.equal(here._calib_bin_edges, host._calib_bin_edges)


def test_s1_12_collected_counts_are_those_of_numpy() -> None:
    x = normal(4000)
    calibrator = HistogramCalibrator()
    for batch in x.split(700):
        calibrator.collect(batch)
    edges = calibrator._calib_bin_edges.numpy()
    counts, _ = np.histogram(x.abs().double().numpy(), bins=edges)
    np.testing.assert_array_equal(calibrator._calib_hist, counts)


def test_s1_13_reset_drops_edges_and_counts() -> None:
    calibrator = collected(outlier())
    calibrator.reset()
    assert calibrator._calib_hist is None
    assert calibrator._calib_bin_edges is None
    assert calibrator.compute_amax("mse") is None


def test_s1_14_options_are_keywords_with_the_documented_defaults() -> None:
    parameters = inspect.signature(HistogramCalibrator.compute_amax).parameters
    expected = {"stride": 1, "start_bin": 128, "percentile": 99.99}
    for name, default in expected.items():
        assert parameters[name].default == default
        assert parameters[name].kind is inspect.Parameter.KEYWORD_ONLY


@pytest.mark.parametrize("percentile", [0, 25, 50, 99.9, 100])
def test_s1_14_a_percentile_is_that_of_numpy(percentile: float) -> None:
    x = normal(50000)
    found = collected(x).compute_amax("percentile", percentile=percentile)
    assert found.shape == ()
    expected = np.percentile(x.abs(), percentile)
    assert abs(found - expected) <= x.abs().max() / 2048


def test_s1_14_mse_finds_what_a_search_over_the_data_finds() -> None:
    x = torch.cat([normal(8000), torch.full((3,), 40.0)])
    data = x.double().numpy()
    found = squared_error(data, float(collected(x).compute_amax("mse")))
    best = min(squared_error(data, amax) for amax in np.linspace(1, 40, 800))
    assert found <= best * 1.01


def test_s1_14_entropy_leaves_an_outlier_out() -> None:
    assert 0.8 < collected(outlier()).compute_amax("entropy") < 1.1


def test_s1_15_an_unknown_method_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="mean"):
        collected(outlier()).compute_amax("mean")


@pytest.mark.parametrize("percentile", [-0.1, 100.1])
def test_s1_15_a_percentile_that_is_none_is_a_value_error(percentile: float) -> None:
    with pytest.raises(ValueError, match="percentile"):
        collected(outlier()).compute_amax("percentile", percentile=percentile)


@pytest.mark.parametrize("method", ["entropy", "mse", "percentile"])
def test_s1_15_nothing_collected_gives_none(method: str) -> None:
    assert HistogramCalibrator().compute_amax(method) is None


def test_s1_16_signature_and_reach_are_those_documented() -> None:
    parameters = inspect.signature(calibrate_weights).parameters
    assert {name: p.default for name, p in list(parameters.items())[1:]} == {
        "method": "percentile",
        "perchannel": True,
        "percentile": 99.99,
        "num_bins": 2048,
    }
    model = nn.Sequential(nn.Sequential(linear()), nn.Linear(4, 4), linear())
    calibrate_weights(model)
    assert [len(layer.weight_quantizer.amax) for layer in (model[0][0], model[2])] == [
        4,
        4,
    ]


def test_s1_17_max_gives_the_largest_magnitudes() -> None:
    layer = linear()
    calibrate_weights(layer, "max")
    expected = layer.weight.abs().amax(1, keepdim=True)
    assert torch.equal(layer.weight_quantizer.amax, expected)


def test_s1_17_mse_gives_no_larger_error_than_max() -> None:
    layer = linear()
    calibrate_weights(layer, "mse")
    for row, amax in zip(layer.weight, layer.weight_quantizer.amax, strict=True):
        data = row.detach().double().numpy()
        largest = squared_error(data, np.abs(data).max())
        assert squared_error(data, float(amax)) <= largest * 1.01


def test_s1_17_another_method_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="entropy"):
        calibrate_weights(linear(), "entropy")


def test_s1_18_channels_of_a_convolution_are_those_of_its_output() -> None:
    plain = quant_nn.QuantConv2d(3, 5, 2)
    transposed = quant_nn.QuantConvTranspose2d(3, 5, 2)
    calibrate_weights(nn.Sequential(plain, transposed), "max")
    assert plain.weight_quantizer.amax.shape == (5, 1, 1, 1)
    assert transposed.weight_quantizer.amax.shape == (1, 5, 1, 1)


def test_s1_18_without_channels_there_is_one_range() -> None:
    layer = linear()
    calibrate_weights(layer, "max", perchannel=False)
    assert layer.weight_quantizer.amax == layer.weight.abs().max()
    assert layer.weight_quantizer.amax.shape == ()


@pytest.mark.parametrize("embedded", ["max", "histogram", "entropy"])
def test_s1_19_the_method_wins_over_the_embedded_calibrator(embedded: str) -> None:
    layer = linear(calib_method=embedded)
    calibrate_weights(layer, "percentile", percentile=50)
    expected = np.percentile(layer.weight.detach().abs(), 50, axis=1)
    torch.testing.assert_close(
        layer.weight_quantizer.amax.flatten(),
        torch.from_numpy(expected).float(),
        rtol=0.01,
        atol=0,
    )


def test_s1_20_statistics_and_search_are_objects_of_their_own() -> None:
    calibrator = collected(outlier())
    seen = calibrator.statistics
    assert isinstance(seen, qcore.Histogram)
    assert seen.counts.device == outlier().device
    lo, hi = qcore.compute_range(seen, qcore.QuantSpec(), "mse")
    assert torch.maximum(-lo, hi) == calibrator.compute_amax("mse")
