"""Calibrators of pytorch-quantization's names over the statistics of the core."""

import importlib

import numpy as np
import pytest
import torch

from qcore import NonFiniteError, UnknownMethodError
from qcore.adapters.torch.calib import (
    HistogramCalibrator,
    MaxCalibrator,
    _Calibrator,
    calibrate_weights,
)
from qcore.adapters.torch.nn.modules.quant_conv import (
    QuantConv2d,
    QuantConvTranspose2d,
)
from qcore.adapters.torch.nn.modules.quant_linear import QuantLinear


def outlier() -> torch.Tensor:
    """Uniform values and one that is ten times as large."""
    x = torch.rand(11, 7, 3, 3, generator=torch.Generator().manual_seed(1))
    x[1, 1, 1, 1] = 10.0
    return x


@pytest.mark.parametrize("name", ["histogram", "max", "calibrator"])
def test_s1_1_the_modules_have_their_names(name: str) -> None:
    assert importlib.import_module(f"qcore.adapters.torch.calib.{name}")


def test_s1_2_both_are_calibrators() -> None:
    for cls in (HistogramCalibrator, MaxCalibrator):
        assert issubclass(cls, _Calibrator)
        assert cls(8, None, False).compute_amax("max") is None


def test_s1_3_a_histogram_is_collected_once_and_read_many_times() -> None:
    calibrator = HistogramCalibrator()
    calibrator.collect(outlier())
    first = calibrator.compute_amax("entropy")
    for method in ("percentile", "mse", "entropy"):
        found = calibrator.compute_amax(method)
    assert torch.equal(first, found)


def test_s1_4_all_arguments_have_the_documented_defaults() -> None:
    by_position = HistogramCalibrator(8, None, False, 2048, None, False, True)
    for calibrator in (by_position, HistogramCalibrator()):
        calibrator.collect(outlier())
    assert torch.equal(calibrator._calib_hist, by_position._calib_hist)


@pytest.mark.parametrize("unsigned", [False, True])
def test_s1_14_entropy_leaves_out_an_outlier(unsigned: bool) -> None:
    calibrator = HistogramCalibrator(8, None, unsigned, grow_method="stretch")
    calibrator.collect(outlier())
    amax = calibrator.compute_amax("entropy")
    assert amax.shape == ()
    assert 0.5 < amax < 1.1


def test_mse_stays_with_the_many() -> None:
    calibrator = HistogramCalibrator(8, None, False)
    x = torch.full((1000,), 255.0)
    x[0] = 256.0
    calibrator.collect(x)
    amax = float(calibrator.compute_amax("mse"))
    assert abs(amax - 255) < abs(amax - 256)


def test_s1_14_percentile_of_a_hundred_numbers() -> None:
    calibrator = HistogramCalibrator(8, None, False)
    calibrator.collect(torch.arange(100))  # integers are counted as numbers
    amax = float(calibrator.compute_amax("percentile", percentile=90))
    assert amax == pytest.approx(89, abs=1)
    assert float(calibrator.compute_amax("percentile", percentile=100)) == 99


def test_s1_10_zeros_can_be_left_out() -> None:
    x = torch.cat([torch.zeros(90), torch.arange(1.0, 11.0)])
    amaxs = []
    for skip in (False, True):
        calibrator = HistogramCalibrator(8, None, False, skip_zeros=skip)
        calibrator.collect(x)
        amaxs.append(float(calibrator.compute_amax("percentile", percentile=50)))
    assert amaxs[0] == pytest.approx(0, abs=0.1)
    assert amaxs[1] == pytest.approx(5, abs=0.5)


def test_s1_6_a_histogram_may_be_per_channel() -> None:
    x = torch.randn(4, 1000) * torch.tensor([[1.0], [2.0], [4.0], [8.0]])
    calibrator = HistogramCalibrator(axis=0)
    calibrator.collect(x)
    amax = calibrator.compute_amax("mse")
    alone = []
    for row in x:
        one = HistogramCalibrator()
        one.collect(row)
        alone.append(one.compute_amax("mse"))
    assert amax.shape == (4, 1)
    assert torch.equal(amax.flatten(), torch.stack(alone))


@pytest.mark.parametrize("method", ["entropy", "mse", "percentile"])
def test_s1_11_both_ways_to_count_agree(method: str) -> None:
    found = []
    for on_torch in (True, False):
        calibrator = HistogramCalibrator(torch_hist=on_torch)
        calibrator.collect(outlier())
        calibrator.collect(outlier() * 3)
        found.append(calibrator.compute_amax(method))
    assert torch.equal(*found)


@pytest.mark.parametrize("method", ["entropy", "mse", "percentile"])
def test_the_order_of_batches_does_not_matter(method: str) -> None:
    parts = outlier().flatten().split(100)
    found = []
    for batches in (parts, parts[::-1], [outlier()]):
        calibrator = HistogramCalibrator()
        for batch in batches:
            calibrator.collect(batch)
        found.append(calibrator.compute_amax(method))
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_s1_13_reset_forgets() -> None:
    calibrator = HistogramCalibrator()
    calibrator.collect(outlier())
    calibrator.reset()
    assert calibrator._calib_hist is None
    assert calibrator._calib_bin_edges is None
    assert calibrator.compute_amax("mse") is None


def test_the_histogram_can_be_looked_at() -> None:
    calibrator = HistogramCalibrator(num_bins=64)
    x = outlier()
    calibrator.collect(x)
    edges = calibrator._calib_bin_edges.numpy()
    expected, _ = np.histogram(x.abs().numpy().astype(np.float64), edges)
    np.testing.assert_array_equal(calibrator._calib_hist.numpy(), expected)


def test_s1_15_errors_have_the_documented_classes() -> None:
    calibrator = HistogramCalibrator()
    calibrator.collect(outlier())
    with pytest.raises(TypeError, match="known name") as raised:
        calibrator.compute_amax("oops")
    assert isinstance(raised.value, UnknownMethodError)
    for percentile in (-1, 100.1):
        with pytest.raises(ValueError, match="percentile"):
            calibrator.compute_amax("percentile", percentile=percentile)


def test_nan_is_an_error() -> None:
    calibrator = HistogramCalibrator()
    calibrator.collect(torch.tensor([1.0, float("nan")]))
    with pytest.raises(NonFiniteError, match="1 NaN"):
        calibrator.compute_amax("mse")


def test_s1_7_unsigned_leaves_twice_the_levels() -> None:
    steps = []
    for unsigned in (False, True):
        calibrator = HistogramCalibrator(4, None, unsigned)
        calibrator.collect(torch.linspace(0, 1, 10001) ** 3)
        amax = float(calibrator.compute_amax("mse"))
        steps.append(amax / (2 ** (3 + unsigned) - 1))
    assert steps[1] < 0.6 * steps[0]


@pytest.mark.parametrize("axis", [None, 0, 1, -1, (0, 2), (-1, 1)])
def test_s3_37_to_39_max_keeps_the_largest_magnitude(axis: object) -> None:
    batches = [torch.randn(3, 4, 5), torch.randn(3, 4, 5)]
    calibrator = MaxCalibrator(8, axis, False)
    for batch in batches:
        calibrator.collect(batch)
    kept = () if axis is None else np.atleast_1d(axis) % 3
    others = tuple(i for i in range(3) if i not in kept)
    expected = torch.stack(batches).abs().amax(0).amax(others, keepdim=axis is not None)
    assert torch.equal(calibrator.compute_amax(), expected)


def test_s3_38_another_shape_of_amax_is_an_error() -> None:
    calibrator = MaxCalibrator(8, 0, False)
    calibrator.collect(torch.randn(3, 4))
    with pytest.raises(RuntimeError, match="amax shape changed"):
        calibrator.collect(torch.randn(4, 4))


def test_s3_37_tracked_amaxs_are_kept() -> None:
    calibrator = MaxCalibrator(8, None, False, track_amax=True)
    batches = [torch.randn(5), torch.randn(5)]
    for batch in batches:
        calibrator.collect(batch)
    np.testing.assert_array_equal(calibrator.amaxs, [b.abs().max() for b in batches])
    with pytest.raises(AttributeError):
        calibrator.amaxs = []  # type: ignore[misc]


def test_s3_40_reset_forgets_all() -> None:
    calibrator = MaxCalibrator(8, None, False, track_amax=True)
    calibrator.collect(torch.randn(5))
    calibrator.reset()
    assert calibrator.compute_amax() is None
    assert calibrator.amaxs == []


def test_empty_data_counts_nothing() -> None:
    for calibrator in (MaxCalibrator(), HistogramCalibrator()):
        calibrator.collect(torch.empty(0, 3))
        assert calibrator.compute_amax("max") is None


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_any_floating_dtype_is_counted(dtype: torch.dtype) -> None:
    x = torch.randn(100).to(dtype)
    for calibrator in (MaxCalibrator(), HistogramCalibrator()):
        calibrator.collect(x)
        amax = calibrator.compute_amax("max")
        assert amax.dtype == torch.float32
        assert amax == x.float().abs().max()


@pytest.mark.parametrize("method", ["max", "mse", "percentile"])
def test_s1_18_weights_are_calibrated_per_channel(method: str) -> None:
    model = torch.nn.Sequential(
        QuantConv2d(3, 8, 3), QuantConvTranspose2d(8, 6, 3), QuantLinear(4, 5)
    )
    calibrate_weights(model, method, perchannel=True)
    shapes = [tuple(m.weight_quantizer.amax.shape) for m in model]
    assert shapes == [(8, 1, 1, 1), (1, 6, 1, 1), (5, 1)]
    for module, axes in zip(model, [(1, 2, 3), (0, 2, 3), (1,)], strict=True):
        largest = module.weight.abs().amax(axes, keepdim=True)
        assert (module.weight_quantizer.amax <= largest).all()
        assert method != "max" or torch.equal(module.weight_quantizer.amax, largest)


def test_s1_16_percentile_is_the_default_and_per_tensor_possible() -> None:
    model = torch.nn.Sequential(QuantLinear(40, 50))
    calibrate_weights(model, perchannel=False, percentile=100)
    assert model[0].weight_quantizer.amax == model[0].weight.abs().max()


def test_s1_17_another_method_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="method"):
        calibrate_weights(torch.nn.Sequential(QuantLinear(4, 5)), "entropy")


def test_a_channel_of_zeros_has_a_usable_scale() -> None:
    linear = QuantLinear(4, 2)
    with torch.no_grad():
        linear.weight[0] = 0
    calibrate_weights(linear, "mse")
    assert torch.isfinite(linear(torch.randn(3, 4))).all()


def test_weights_with_nan_are_named() -> None:
    model = torch.nn.Sequential(QuantLinear(4, 2))
    with torch.no_grad():
        model[0].weight[0, 0] = float("nan")
    with pytest.raises(NonFiniteError, match="'0'"):
        calibrate_weights(model, "mse")
