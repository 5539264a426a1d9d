"""From statistics to scales: shapes, the policy for NaN and infinity, errors."""

from typing import Any

import numpy as np
import pytest

from qcore import (
    Histogram,
    NoDataError,
    NonFiniteError,
    PerBlock,
    PerChannel,
    QuantSpec,
    Range,
    calibrate,
    compute_range,
)

X = np.asarray([[-4, 1, 2], [0.5, 8, -1]], np.float32)
TAINTED = np.asarray([1, np.nan, -2, np.inf, -np.inf, np.nan], np.float32)
SPEC = QuantSpec("int8")


def test_the_default_method_is_mse() -> None:
    h = Histogram.of(np.random.default_rng(0).normal(size=500))
    assert calibrate(h, SPEC).scale == calibrate(h, SPEC, "mse").scale
    assert calibrate(h, SPEC).scale != calibrate(h, SPEC, "minmax").scale


def test_a_scale_per_tensor_has_no_axes() -> None:
    qparams = calibrate(Range.of(X), SPEC, "minmax")
    assert qparams.scale.shape == qparams.zero_point.shape == ()
    assert qparams.scale == np.float32(8) / np.float32(127)


def test_scales_per_channel_keep_the_rank_of_the_data() -> None:
    seen = Range.of(X, granularity=PerChannel(0))
    scale = calibrate(seen, SPEC, "minmax").scale
    assert np.array_equal(scale, np.asarray([[4], [8]], np.float32) / np.float32(127))


def test_scales_per_block_are_where_the_blocks_are() -> None:
    seen = Range.of(X, granularity=PerBlock(1, 2))
    amax = np.asarray([[4, 2], [8, 1]], np.float32)
    assert np.array_equal(calibrate(seen, SPEC, "minmax").scale, amax / np.float32(127))


def test_the_granularity_is_that_of_the_statistics() -> None:
    seen = Range.of(X, granularity=PerChannel(0))
    assert calibrate(seen, SPEC, "minmax").spec.granularity == PerChannel(0)


def test_an_asymmetric_zero_point_stands_for_zero() -> None:
    qparams = calibrate(Range.of(X), QuantSpec("uint8", symmetric=False), "minmax")
    scale = np.float32(8) / np.float32(255) + np.float32(4) / np.float32(255)
    assert (qparams.scale, qparams.zero_point) == (scale, 85)
    assert qparams.zero_point.dtype == np.int32


@pytest.mark.parametrize("cls", [Range, Histogram])
def test_nan_and_infinity_are_counted_in_the_error(cls: Any) -> None:
    with pytest.raises(NonFiniteError, match=r"got 2 NaN and 2 infinite.*'ignore'"):
        calibrate(cls.of(TAINTED), SPEC, "minmax")


@pytest.mark.parametrize("cls", [Range, Histogram])
def test_nan_and_infinity_may_be_ignored(cls: Any) -> None:
    seen = cls.of(TAINTED)
    assert compute_range(seen, SPEC, "minmax", nonfinite="ignore") == ([-2], [2])


def test_one_tainted_channel_is_an_error() -> None:
    rows = np.asarray([[1, 2], [3, np.inf]], np.float32)
    with pytest.raises(NonFiniteError, match="got 0 NaN and 1 infinite"):
        calibrate(Range.of(rows, granularity=PerChannel(0)), SPEC, "minmax")


@pytest.mark.parametrize("values", [[], [np.nan], [-np.inf, np.nan]])
def test_nothing_finite_seen_is_an_error(values: Any) -> None:
    seen = Histogram.of(np.asarray(values, np.float32))
    with pytest.raises(NoDataError, match="must have seen a finite value; got none"):
        calibrate(seen, SPEC, nonfinite="ignore")


def test_a_channel_that_saw_nothing_has_scale_one() -> None:
    mask = np.asarray([[True], [False]])
    seen = Histogram.of(X, granularity=PerChannel(0), mask=mask, bins=64)
    for method in ("minmax", "percentile", "entropy", "mse"):
        for name in ("int8", "uint16"):
            spec = QuantSpec(name, symmetric=False)
            assert float(calibrate(seen, spec, method).scale[1, 0]) == 1


@pytest.mark.parametrize("error", [NonFiniteError, NoDataError])
def test_errors_of_the_data_are_what_older_toolkits_raise(error: type) -> None:
    assert issubclass(error, ValueError)
    assert issubclass(error, RuntimeError)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((X, SPEC), {}, TypeError, "`statistics` must be such as Histogram"),
        ((Range.of(X), "int8"), {}, TypeError, "`spec` must be a QuantSpec; got str"),
        ((Range.of(X), SPEC), {"nonfinite": "warn"}, ValueError, "got 'warn'"),
    ],
)
def test_a_wrong_argument_is_named(
    arguments: Any, options: Any, error: Any, message: str
) -> None:
    with pytest.raises(error, match=message):
        calibrate(*arguments, **options)


@pytest.mark.parametrize("symmetric", [True, False])
def test_more_entries_than_are_solved_at_once_have_the_ranges_they_have_alone(
    array: Any, to_numpy: Any, run: Any, symmetric: bool
) -> None:
    rows = np.random.default_rng(1).laplace(size=(5, 60)).astype(np.float32)
    spec = QuantSpec("int4", symmetric=symmetric)

    def ends(x: Any) -> Any:
        h = Histogram.of(x, bins=4096, granularity=PerChannel(0))
        return compute_range(h, spec)

    together = np.stack([to_numpy(end) for end in run(ends, array(rows))])
    alone = [ends(row[None]) for row in rows]
    assert np.array_equal(together, np.concatenate(alone, axis=1))
