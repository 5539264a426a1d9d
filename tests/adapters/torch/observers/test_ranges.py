"""Which range, and which scale and zero point, observers find."""

import warnings
from typing import Any

import numpy as np
import pytest
import torch

import qcore
from qcore.adapters.torch.observers import (
    ClipObserver,
    ClipStdObserver,
    FixedScaleObserver,
    KLObserver,
    MinMaxObserver,
    MixObserver,
    MSEObserver,
    NormObserver,
    ObserverBase,
    PercentileObserver,
)

CLASSES = [
    ClipObserver,
    ClipStdObserver,
    KLObserver,
    MSEObserver,
    MinMaxObserver,
    MixObserver,
    NormObserver,
    PercentileObserver,
]
AFFINE = {"qscheme": torch.per_tensor_affine}
CHANNELS = {"qscheme": torch.per_channel_symmetric, "ch_axis": 1}


def data(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def observed(observer: ObserverBase, *batches: torch.Tensor) -> ObserverBase:
    for batch in batches:
        observer(batch)
    return observer


def qparams(observer: ObserverBase, *batches: torch.Tensor) -> tuple[Any, Any]:
    scale, zero_point = observed(observer, *batches).calculate_qparams()
    assert (scale.dtype, zero_point.dtype) == (torch.float32, torch.int32)
    assert scale.shape == zero_point.shape
    return scale.tolist(), zero_point.tolist()


def test_s4_4_a_symmetric_scale_is_amax_over_the_highest_code() -> None:
    assert qparams(MinMaxObserver(), torch.tensor([-254.0, 3.0])) == ([2.0], [0])


def test_an_affine_range_holds_zero() -> None:
    x = torch.tensor([51.0, 255.0])
    assert qparams(MinMaxObserver(**AFFINE), x) == ([1.0], [-128])
    assert qparams(MinMaxObserver(dtype="quint8", **AFFINE), -x) == ([1.0], [255])


def test_bounds_on_codes_scale_the_range() -> None:  # no format of qcore is so
    x = torch.tensor([-5.0, 10.0])
    observer = MinMaxObserver(quant_min=-5, quant_max=10, **AFFINE)
    assert qparams(observer, x) == ([1.0], [0])
    observer = MinMaxObserver(quant_min=-100, quant_max=100)
    assert qparams(observer, torch.tensor([-50.0, 25.0])) == ([0.5], [0])


@pytest.mark.parametrize("cls", [KLObserver, MSEObserver, MixObserver])
def test_any_bounds_serve_the_searches(cls: type) -> None:
    observer = observed(cls(quant_min=-3, quant_max=11, **AFFINE), data(500))
    scale, zero_point = observer.calculate_qparams()
    low, high = (scale * (q - zero_point) for q in (-3, 11))
    assert -5 < low < -1 < 1 < high < 5


def test_s4_4_each_channel_has_its_range() -> None:
    x = data(3, 4, 5)
    scale, _ = observed(MinMaxObserver(**CHANNELS), x).calculate_qparams()
    expected = np.abs(x.numpy()).max(axis=(0, 2)) / np.float32(127)
    assert np.array_equal(scale.numpy(), expected)


def test_s4_6_percentile_is_the_quantile_of_magnitudes() -> None:
    x = data(10_000)
    observer = observed(PercentileObserver(percentile=99.0), x)
    expected = np.quantile(np.abs(x.numpy()), 0.99)
    assert observer.max_val.item() == pytest.approx(expected, rel=2e-3)  # a slot
    assert observer.min_val == -observer.max_val


def test_s4_6_all_of_the_values_are_the_whole_range() -> None:
    x = data(1000)
    observer = observed(PercentileObserver(percentile=100), x)
    assert observer.max_val == x.abs().max()


def test_s4_3_mse_is_near_the_best_of_all_scales() -> None:
    x = data(5000)
    scale, _ = observed(MSEObserver(dtype="qint4"), x).calculate_qparams()

    def error(scale: float) -> float:
        found = torch.fake_quantize_per_tensor_affine(x, scale, 0, -8, 7)
        return torch.mean((found - x) ** 2).item()

    best = min(error(s) for s in np.linspace(0.05, 0.6, 400))
    assert error(scale.item()) <= 1.003 * best


def test_s4_3_a_larger_stride_tries_fewer_ranges() -> None:
    x = data(5000)
    fine = observed(MSEObserver(), x).max_val
    coarse = observed(MSEObserver(stride=20), x).max_val
    assert coarse != fine
    assert coarse.item() == pytest.approx(fine.item(), rel=0.05)


def test_s4_1_kl_cuts_the_tail_of_many_values() -> None:
    x = torch.sign(data(100_000)) * data(100_000).abs() ** 1.5
    observer = observed(KLObserver(dtype="qint4"), x)
    assert 1 < observer.max_val < 0.8 * x.abs().max()


@pytest.mark.parametrize(
    ("cls", "method", "bins"),
    [
        (KLObserver, "entropy", 512),
        (MSEObserver, "mse", 2048),
        (MixObserver, "auto", 2048),
        (PercentileObserver, "percentile", 2048),
    ],
)
def test_the_range_is_that_of_the_method_in_numpy(
    cls: type, method: str, bins: int
) -> None:
    x = data(2, 3, 50)
    spec = qcore.QuantSpec(symmetric=False)
    seen = qcore.Histogram.of(x.numpy(), bins=bins, granularity=qcore.PerChannel(1))
    expected = qcore.compute_range(seen, spec, method)
    observer = cls(qscheme=torch.per_channel_affine, ch_axis=1)
    observed(observer, x)
    assert np.array_equal(np.stack(expected), [observer.min_val, observer.max_val])


def test_s4_5_mix_is_as_good_as_the_best_of_the_others() -> None:
    x = torch.cat([data(5000), torch.tensor([9.0, -7.0])])

    def error(cls: type) -> float:
        scale, _ = observed(cls(dtype="qint4"), x).calculate_qparams()
        found = torch.fake_quantize_per_tensor_affine(x, scale.item(), 0, -8, 7)
        return torch.mean((found - x) ** 2).item()

    others = (KLObserver, MSEObserver, MinMaxObserver, PercentileObserver)
    assert error(MixObserver) <= 1.001 * min(map(error, others))


def test_s4_11_a_fixed_scale_is_kept() -> None:
    observer = FixedScaleObserver(0.25, 3, **AFFINE)
    assert qparams(observer, data(10)) == ([0.25], [3])
    assert sorted(observer.state_dict()) == ["scale", "zero_point"]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([-3.0, 0.25], (-1, 0.25)),
        ([-0.5, 9.0], (-0.5, 1)),
        ([5.0, 6.0], (1, 1)),
    ],
)
def test_s4_11_clip_limits_the_range(
    values: list[float], expected: tuple[float, float]
) -> None:
    observer = observed(ClipObserver(), torch.tensor(values))
    assert (observer.min_val.item(), observer.max_val.item()) == expected


def test_s4_11_clip_std_ends_at_standard_deviations() -> None:
    x = torch.cat([data(1000), torch.tensor([100.0])])
    observer = observed(ClipStdObserver(std_scale=2.0), x)
    mean, std = np.mean(x.numpy()), np.std(x.numpy(), ddof=1)
    assert observer.max_val.item() == pytest.approx(mean + 2 * std, rel=1e-6)
    assert observer.min_val == x.min()


def test_s4_11_clip_std_of_one_value_is_that_value() -> None:
    observer = observed(ClipStdObserver(), torch.tensor(3.0))
    assert (observer.min_val, observer.max_val) == (3, 3)


def test_s4_11_norm_is_the_largest_magnitude() -> None:
    observer = observed(NormObserver(), torch.tensor([[3.0, 0.0], [0.0, -4.0]]))
    assert (observer.min_val, observer.max_val) == (-5, 5)
    channels = observed(NormObserver(1.0, **CHANNELS), torch.tensor([[3.0], [-4.0]]).T)
    assert channels.max_val.tolist() == [3, 4]


@pytest.mark.parametrize("cls", CLASSES)
def test_s4_9_calling_returns_the_argument_and_runs_hooks(cls: type) -> None:
    observer, seen = cls(), []
    observer.register_forward_hook(lambda _m, _args, out: seen.append(out))
    x = data(20)
    assert observer(x) is x
    assert seen == [x]


@pytest.mark.parametrize("cls", CLASSES)
def test_s4_12_without_data_a_warning_and_scale_one(cls: type) -> None:
    observer = cls()
    observer(torch.empty(0, 3))
    with pytest.warns(UserWarning, match=f"{cls.__name__} has observed nothing"):
        scale, zero_point = observer.calculate_qparams()
    assert (scale.tolist(), zero_point.tolist()) == ([1.0], [0])


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_is_an_error_that_names_the_observer(
    cls: type, bad: float
) -> None:
    observer = observed(cls(), torch.tensor([1.0, bad]), data(10))
    with pytest.raises(qcore.NonFiniteError, match=f"{cls.__name__} must observe"):
        observer.calculate_qparams()


def test_the_channels_that_are_not_finite_are_named() -> None:
    x = torch.ones(2, 3)
    x[0, 1] = float("nan")
    observer = observed(MSEObserver(**CHANNELS), x, torch.ones(2, 3))
    with pytest.raises(qcore.NonFiniteError, match="in channels 1"):
        observer.calculate_qparams()


def test_all_nan_is_seen_at_calculation_alone() -> None:
    observer = observed(KLObserver(), torch.full((4,), float("nan")))
    with pytest.raises(qcore.NonFiniteError):
        observer.calculate_qparams()


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floats_give_the_range_of_the_same_values(
    cls: type, dtype: torch.dtype
) -> None:
    x = data(30, 2).to(torch.bfloat16).to(torch.float16)  # all of them hold these
    expected = observed(cls(**CHANNELS), x.float())
    found = observed(cls(**CHANNELS), x.to(dtype))
    assert torch.equal(found.max_val, expected.max_val)
    assert found.max_val.dtype == torch.float32


@pytest.mark.parametrize("cls", CLASSES)
def test_views_and_graphs_are_observed_as_their_values(cls: type) -> None:
    x = data(2, 80)
    expected = observed(cls(**CHANNELS), x.T[::2].contiguous())
    found = observed(cls(**CHANNELS), x.clone().requires_grad_().T[::2])
    assert torch.equal(found.min_val, expected.min_val)
    assert not found.min_val.requires_grad


@pytest.mark.parametrize("cls", CLASSES)
def test_all_zero_data_has_scale_one(cls: type) -> None:
    assert qparams(cls(), torch.zeros(5)) == ([1.0], [0])


def test_a_float_format_is_observed() -> None:
    observer = observed(MinMaxObserver(dtype="float8_e4m3fn"), torch.tensor([896.0]))
    assert observer.calculate_qparams()[0].item() == 2.0


def test_integers_are_refused() -> None:
    with pytest.raises(TypeError, match="floating-point"):
        MinMaxObserver()(torch.arange(3))


def test_another_number_of_channels_is_refused() -> None:
    observer = observed(MinMaxObserver(**CHANNELS), torch.ones(2, 3))
    with pytest.raises(ValueError, match="extents"):
        observer(torch.ones(2, 4))


def test_nothing_warns() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for cls in CLASSES:
            observed(cls(), torch.ones(1), torch.zeros(1)).calculate_qparams()
