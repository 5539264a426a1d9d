"""Rows that keep their order, against codes and a search of all scales."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from qcore import (
    PerChannel,
    QParams,
    QuantSpec,
    StatisticsError,
    Top2,
    calibrate,
    compute_range,
    fake_quantize,
)

GRID = np.asarray(
    [2.0**e * (1 + f / 32) for e in range(-125, 128) for f in range(32)], np.float32
)
SPECS = {
    "int3": QuantSpec("int3"),
    "int8": QuantSpec("int8"),
    "uint8": QuantSpec("uint8"),
    "int16": QuantSpec("int16"),
    "int4-asymmetric": QuantSpec("int4", symmetric=False),
    "int8-asymmetric": QuantSpec("int8", symmetric=False),
    "uint8-asymmetric": QuantSpec("uint8", symmetric=False),
    "float16-scale": QuantSpec("int8", scale_dtype="float16"),
}
each_spec = pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)


def softmax(rows: int, classes: int, spread: float = 2, seed: int = 0) -> np.ndarray:
    z = np.exp(spread * np.random.default_rng(seed).normal(size=(rows, classes)))
    return (z / z.sum(axis=1, keepdims=True)).astype(np.float32)


def sigmoid(rows: int, classes: int) -> np.ndarray:
    z = np.random.default_rng(1).normal(size=(rows, classes))
    return (1 / (1 + np.exp(-z))).astype(np.float32)


def signed(rows: int, classes: int) -> np.ndarray:
    return np.random.default_rng(2).normal(size=(rows, classes)).astype(np.float32)


DATA = {
    "softmax": softmax(200, 10),
    "flat": softmax(200, 10, 0.2),
    "two classes": softmax(300, 2),
    "sigmoid": sigmoid(200, 6),
    "signed": signed(200, 6),
    "sure": np.eye(5, dtype=np.float32),
    "outlier": np.append(softmax(50, 4), np.float32([[1e6, 0, 0, 0]]), axis=0),
}
each_data = pytest.mark.parametrize("x", DATA.values(), ids=DATA)


def is_kept(x: np.ndarray, qparams: Any) -> np.ndarray:
    """Return which rows still have their largest value, and no other, the largest."""
    found = fake_quantize(x, qparams).astype(np.float64)
    top = np.take_along_axis(found, x.argmax(axis=1)[:, None], axis=1)
    return (found >= top).sum(axis=1) == 1


def slot_of(scale: Any) -> int:
    (slot,) = np.flatnonzero(np.asarray(scale, np.float32) == GRID)
    return int(slot)


@each_spec
@each_data
def test_argmax_of_all_rows_that_count_as_kept_is_preserved(
    x: np.ndarray, spec: QuantSpec
) -> None:
    qparams = calibrate(Top2.of(x, format=spec.format), spec, "isotone")
    each = Top2.of(x, format=spec.format, granularity=PerChannel(0))
    counted = each.kept[:, slot_of(qparams.scale)]
    assert counted.sum() == Top2.of(x, format=spec.format).kept.max()
    assert (counted <= is_kept(x, qparams)).all()


@each_spec
@each_data
def test_no_scale_of_the_grid_counts_more_rows(x: np.ndarray, spec: QuantSpec) -> None:
    state = Top2.of(x, format=spec.format)
    qparams = calibrate(state, spec, "isotone")
    assert state.kept[0, slot_of(qparams.scale)] == state.kept.max()
    assert is_kept(x, qparams).sum() >= state.kept.max()


@each_spec
@each_data
def test_no_scale_of_the_grid_keeps_more_rows_by_their_distance(
    x: np.ndarray, spec: QuantSpec
) -> None:
    """Values more than a scale apart have two codes, wherever these lie."""
    qparams = calibrate(Top2.of(x, format=spec.format), spec, "isotone")
    ordered, scales = np.sort(x.astype(np.float64), axis=1), GRID[:, None].astype(float)
    first, second = ordered[:, -1], np.maximum(ordered[:, -2], 0)
    differ = (first - second > scales) & (second < (spec.format.qmax - 0.5) * scales)
    assert is_kept(x, qparams).sum() >= differ.sum(axis=1).max()


@each_data
def test_nearly_as_many_rows_are_kept_as_by_the_luckiest_scale(x: np.ndarray) -> None:
    spec = QuantSpec("int8")
    found = is_kept(x, calibrate(Top2.of(x), spec, "isotone")).sum()
    zero = np.asarray(0, np.int32)
    lucky = [is_kept(x, QParams(s, zero, spec)).sum() for s in GRID[2000:4800]]
    assert found >= 0.97 * max(lucky)


def test_of_equal_scales_the_largest_wins_that_need_not_exceed_the_values() -> None:
    # Any scale up to 1 keeps the first row, above 0.5 / 126.5 and up to 0.5 the second.
    x = np.asarray([[0.5, 0, 0], [1, 0.5, 0.2]], np.float32)
    (_, hi) = compute_range(Top2.of(x), QuantSpec("int8"), "isotone")
    enough = GRID[np.searchsorted(GRID, 1 / 126.5)]
    assert hi[0] == 127 * enough


def test_a_finer_scale_wins_where_it_keeps_more_rows() -> None:
    # Three rows differ by 2**-9 in values of 1/8, which a scale of 2**-7 joins.
    x = np.asarray([[0.125, 0.125 - 2.0**-9, 0]] * 3 + [[1, 0, 0]], np.float32)
    scale = calibrate(Top2.of(x), QuantSpec("int8"), "isotone").scale
    assert 0.123 / 126.5 < scale < 2.0**-9 * 1.04
    assert is_kept(x, calibrate(Top2.of(x), QuantSpec("int8"), "isotone")).all()


@pytest.mark.parametrize(
    ("name", "symmetric", "ends", "zero_point"),
    [
        ("int8", True, (-127, 127), 0),
        ("uint8", True, (0, 255), 0),
        ("int8", False, (-128, 127), 0),
        ("uint8", False, (0, 255), 0),
        ("int4", False, (-8, 7), 0),
    ],
)
def test_the_zero_point_is_zero(
    name: str, symmetric: bool, ends: tuple[int, int], zero_point: int
) -> None:
    spec, state = (
        QuantSpec(name, symmetric=symmetric),
        Top2.of(softmax(9, 4), format=name),
    )
    qparams = calibrate(state, spec, "isotone")
    lo, hi = compute_range(state, spec, "isotone")
    assert (lo[0], hi[0]) == tuple(end * qparams.scale for end in ends)
    assert qparams.zero_point == zero_point


@pytest.mark.parametrize(("name", "unsigned"), [("int8", "uint8"), ("int4", "uint4")])
def test_statistics_of_as_many_codes_have_the_lowest_for_zero(
    name: str, unsigned: str
) -> None:
    x = softmax(99, 4)
    spec, state = QuantSpec(name, symmetric=False), Top2.of(x, format=unsigned)
    qparams = calibrate(state, spec, "isotone")
    assert qparams.zero_point == spec.format.qmin
    assert qparams.scale == calibrate(state, QuantSpec(unsigned), "isotone").scale
    assert is_kept(x, qparams).sum() >= state.kept.max()


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("values", [[[0.7, 0.7]], [[-1, -2, -3]], [[0.3], [0.5]]])
def test_without_an_order_to_keep_the_range_is_that_of_the_values(
    values: Any, symmetric: bool
) -> None:
    x = np.asarray(values, np.float32)
    spec = QuantSpec("int8", symmetric=symmetric)
    lo, hi = compute_range(Top2.of(x), spec, "isotone")
    low, high = min(x.min(), 0), max(x.max(), 0)
    amax = max(-low, high)
    assert (lo[0], hi[0]) == ((-amax, amax) if symmetric else (low, high))


def test_each_channel_has_its_own_scale(
    run: Callable[..., Any],
    array: Callable[..., Any],
    to_numpy: Callable[..., np.ndarray],
) -> None:
    x = np.stack([softmax(30, 4), softmax(30, 4, 0.2) / 50, np.zeros((30, 4))])
    x, spec = x.astype(np.float32), QuantSpec("int8", PerChannel(0))

    def scales(x: Any) -> Any:
        return calibrate(Top2.of(x, granularity=PerChannel(0)), spec, "isotone").scale

    found = to_numpy(run(scales, array(x)))
    assert found.shape == (3, 1, 1)
    expected = [calibrate(Top2.of(part), spec, "isotone").scale for part in x]
    np.testing.assert_array_equal(found[:, 0, 0], expected)


@pytest.mark.parametrize("k", [-100, 100])
def test_a_scale_lies_within_float32(k: int) -> None:
    x = np.ldexp(softmax(9, 4), k).astype(np.float32)
    qparams = calibrate(Top2.of(x), QuantSpec("int8"), "isotone")
    assert is_kept(x, qparams).all()


def test_the_largest_range_is_finite() -> None:
    x = np.asarray([[3.4e38, 1, 0]], np.float32)
    _, hi = compute_range(Top2.of(x), QuantSpec("int8"), "isotone")
    assert 0.9 * 3.4e38 < hi[0] < np.inf


@pytest.mark.parametrize(
    ("collected", "spec"),
    [
        ("int8", QuantSpec("int4")),
        ("int8", QuantSpec("uint8")),
        ("uint8", QuantSpec("int8")),
        ("int4", QuantSpec("int8", symmetric=False)),
        ("int8", QuantSpec("float8_e4m3fn")),
    ],
)
def test_statistics_of_another_format_are_refused(
    collected: str, spec: QuantSpec
) -> None:
    state = Top2.of(softmax(3, 3), format=collected)
    message = (
        f"must be collected for .*{spec.format.name}; got codes up to {state.qmax}"
    )
    with pytest.raises(StatisticsError, match=message):
        calibrate(state, spec, "isotone")
