"""The expected error against numeric integration and against the error that came."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from qcore import (
    Histogram,
    IntFormat,
    PerChannel,
    QuantSpec,
    Range,
    StatisticsError,
    calibrate,
    expected_error,
    fake_quantize,
    qparams_from_range,
)
from qcore.arithmetic import dtype_name

SPECS = {
    "int4": QuantSpec("int4"),
    "int8": QuantSpec("int8"),
    "narrow": QuantSpec(IntFormat(3, narrow=True)),
    "uint8": QuantSpec("uint8"),
    "int16": QuantSpec("int16"),
    "int4-asymmetric": QuantSpec("int4", symmetric=False),
    "uint8-asymmetric": QuantSpec("uint8", symmetric=False),
    "int16-asymmetric": QuantSpec("int16", symmetric=False),
    "fp8": QuantSpec("float8_e4m3fn"),
    "fp4": QuantSpec("float4_e2m1fn"),
}
each_spec = pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)


def samples(n: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.append(rng.laplace(size=n) + 0.4, np.zeros(n // 5)).astype(np.float32)


def qparams_for(x: np.ndarray, spec: QuantSpec, reach: float) -> Any:
    ends = (np.asarray(end * reach) for end in (x.min(), x.max()))
    return qparams_from_range(*ends, spec)


@pytest.mark.parametrize("reach", [0.4, 1, 1.7])
@each_spec
def test_it_is_the_error_of_values_lying_evenly_in_their_slots(
    spec: QuantSpec, reach: float
) -> None:
    x = samples(500)
    h = Histogram.of(x, bins=16)
    qparams = qparams_for(x, spec, reach)
    # The midpoints of 4000 parts of each slot stand for all its values.
    points = np.arange(h.slots * 4000) + 0.5
    points = np.stack([-points, points]) * (float(h.width[0]) / 4000)
    squares = (points - fake_quantize(points, qparams)) ** 2
    by_slot = squares.reshape(2, h.slots, 4000).mean(axis=2)
    expected = np.sum(h.counts[0] * by_slot) / len(x)
    np.testing.assert_allclose(expected_error(h, qparams), expected, rtol=1e-3)


@pytest.mark.parametrize("reach", [0.4, 1])
@each_spec
def test_it_foretells_the_error_of_the_data(spec: QuantSpec, reach: float) -> None:
    x = samples(200_000)
    qparams = qparams_for(x, spec, reach)
    error = np.mean((x.astype(np.float64) - fake_quantize(x, qparams)) ** 2)
    found = expected_error(Histogram.of(x), qparams)
    np.testing.assert_allclose(found, error, rtol=0.03)


@pytest.mark.parametrize("p", [0.5, 1, 2.4, 4])
@pytest.mark.parametrize("reach", [0.4, 1, 1.7])
@each_spec
def test_any_norm_and_weight_of_what_is_clipped(
    spec: QuantSpec, reach: float, p: float
) -> None:
    x = samples(500)
    h = Histogram.of(x, bins=16)
    qparams = qparams_for(x, spec, reach)
    points = np.arange(h.slots * 4000) + 0.5
    points = np.stack([-points, points]) * (float(h.width[0]) / 4000)
    lowest, highest = fake_quantize(np.asarray([-1e9, 1e9]), qparams)
    is_clipped = (points < lowest) | (points > highest)
    powers = np.abs(points - fake_quantize(points, qparams)) ** p
    powers = powers * np.where(is_clipped, 3, 1)
    by_slot = powers.reshape(2, h.slots, 4000).mean(axis=2)
    expected = np.sum(h.counts[0] * by_slot) / len(x)
    found = expected_error(h, qparams, metric="lp", p=p, clipping_weight=3)
    np.testing.assert_allclose(found, expected, rtol=3e-3)


@pytest.mark.parametrize(
    "option", [{"p": 0}, {"p": 9}, {"p": float("nan")}, {"clipping_weight": -1}]
)
def test_a_senseless_option_is_named(option: dict[str, float]) -> None:
    h = Histogram.of(samples(50))
    with pytest.raises(ValueError, match=f"`{next(iter(option))}` must"):
        expected_error(h, calibrate(h, SPECS["int8"]), **option)


def test_signal_to_noise_is_the_mean_square_over_the_error() -> None:
    x = samples(50_000)
    h = Histogram.of(x)
    qparams = qparams_for(x, SPECS["int8"], 1)
    error = np.mean((x - fake_quantize(x, qparams)) ** 2)
    decibels = 10 * np.log10(np.mean(x**2) / error)
    found = expected_error(h, qparams, metric="sqnr")
    np.testing.assert_allclose(found, decibels, atol=0.1)


@pytest.mark.parametrize("method", ["minmax", "percentile", "entropy"])
def test_no_method_beats_mse_at_its_own_measure(method: str) -> None:
    h = Histogram.of(samples(5000), bins=256)
    for spec in SPECS.values():
        error = expected_error(h, calibrate(h, spec, method))
        assert error >= expected_error(h, calibrate(h, spec, "mse")) * (1 - 1e-3)


def test_each_channel_has_its_own_error() -> None:
    rows = samples(900).reshape(3, -1)
    h = Histogram.of(rows, granularity=PerChannel(0))
    qparams = calibrate(h, SPECS["int8"])
    alone = [Histogram.of(row) for row in rows]
    expected = [expected_error(a, calibrate(a, SPECS["int8"]))[0] for a in alone]
    assert expected_error(h, qparams).tolist() == expected


def test_one_scale_serves_all_channels() -> None:
    x = samples(900)
    rows = np.stack([x, x])
    h = Histogram.of(rows, granularity=PerChannel(0))
    qparams = calibrate(Histogram.of(x), SPECS["int8"])
    both = expected_error(h, qparams)
    assert both.shape == (2,)
    assert both[0] == both[1] == expected_error(Histogram.of(x), qparams)[0]


def test_it_is_a_float64_on_every_library(
    array: Callable[..., Any],
    run: Callable[..., Any],
    to_numpy: Callable[..., np.ndarray],
) -> None:
    x, spec = samples(300), SPECS["int4-asymmetric"]
    own = Histogram.of(x, bins=16)
    expected = expected_error(own, calibrate(own, spec, "minmax"))

    def error(h: Histogram) -> Any:
        return expected_error(h, calibrate(h, spec, "minmax"))

    found = run(error, Histogram.of(array(x), bins=16))
    assert dtype_name(found.dtype) == "float64"
    np.testing.assert_allclose(to_numpy(found), expected, rtol=1e-12)


def test_zeros_alone_have_no_error() -> None:
    h = Histogram.of(np.zeros(5, np.float32))
    assert expected_error(h, calibrate(h, SPECS["int8"])) == 0


def test_a_channel_that_saw_nothing_has_no_error_to_tell() -> None:
    mask = np.asarray([[True], [False]])
    x = np.ones((2, 4), np.float32)
    h = Histogram.of(x, mask=mask, granularity=PerChannel(0))
    qparams = calibrate(h, SPECS["int8"], "minmax")
    assert np.isnan(expected_error(h, qparams)).tolist() == [False, True]


def test_an_unknown_metric_is_named() -> None:
    h = Histogram.of(samples(50))
    with pytest.raises(ValueError, match=r"must be one of .*; got 'mae'"):
        expected_error(h, calibrate(h, SPECS["int8"]), metric="mae")


def test_scales_must_be_as_many_as_channels() -> None:
    h = Histogram.of(samples(50).reshape(3, -1), granularity=PerChannel(0))
    qparams = calibrate(
        Histogram.of(np.ones((2, 2)), granularity=PerChannel(0)), SPECS["int8"]
    )
    with pytest.raises(ValueError, match="must have 3 scales; got 2"):
        expected_error(h, qparams)


def test_other_statistics_are_refused() -> None:
    seen = Range.of(samples(50))
    with pytest.raises(StatisticsError, match="needs Histogram; got Range"):
        expected_error(seen, calibrate(seen, SPECS["int8"], "minmax"))  # type: ignore[arg-type]


def test_scales_must_be_of_the_library_of_the_statistics() -> None:
    strict = pytest.importorskip("array_api_strict")
    x = samples(50)
    qparams = calibrate(Histogram.of(strict.asarray(x)), SPECS["int8"])
    with pytest.raises(TypeError, match="scales must be of the data's library"):
        expected_error(Histogram.of(x), qparams)
