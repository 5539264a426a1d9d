"""Rows that keep their order at a scale, against fractions and against codes."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from qcore import (
    PerBlock,
    PerChannel,
    QParams,
    QuantSpec,
    Top2,
    quantize,
    stack,
    unstack,
)

GRID = [2.0**e * (1 + f / 32) for e in range(-125, 128) for f in range(32)]
TINY = 2.0**-126
SPECS = {
    "int2": QuantSpec("int2"),
    "int4": QuantSpec("int4"),
    "int8": QuantSpec("int8"),
    "uint8": QuantSpec("uint8"),
    "asymmetric": QuantSpec("uint4", symmetric=False),
}
each_spec = pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)


def softmax(rows: int, classes: int, seed: int = 0, spread: float = 2) -> np.ndarray:
    z = np.exp(spread * np.random.default_rng(seed).normal(size=(rows, classes)))
    return (z / z.sum(axis=1, keepdims=True)).astype(np.float32)


def slots_kept(row: Sequence[float], qmax: int) -> tuple[int, int] | None:
    """Return the first slot that keeps a row and the next that may not, or None.

    A scale between L2 / edge and L1 / edge, for an edge between two codes, has the two
    largest values on either side of it; such intervals are joined from the finest on.
    """
    finite = [0.0 if abs(v) < TINY else float(v) for v in row if np.isfinite(v)]
    second, first = (Fraction(v) for v in sorted(finite)[-2:])
    second = max(second, Fraction(0))
    if first <= second:
        return None
    edges = [Fraction(2 * n + 1, 2) for n in range(qmax)][::-1]
    low, high = second / edges[0], first / edges[0]
    for edge in edges[1:]:
        if second / edge >= high:
            break
        high = first / edge
    start, end = bisect_right(GRID, low), bisect_left(GRID, high)
    return (start, end) if start < end else None


def definition(rows: Sequence[Sequence[float]], qmax: int) -> dict[str, Any]:
    """Return the fields of one entry."""
    values = np.asarray([v for row in rows for v in row], np.float32)
    finite = values[np.isfinite(values)]
    finite = np.where(np.abs(finite) < TINY, np.float32(0), finite)
    fields = {
        "starts": np.zeros(len(GRID), np.int64),
        "ends": np.zeros(len(GRID), np.int64),
        "lost": np.int64(0),
        "min": np.float32(min(finite, default=np.inf)),
        "max": np.float32(max(finite, default=-np.inf)),
        "nans": np.isnan(values).sum(),
        "infs": np.array([(values == -np.inf).sum(), (values == np.inf).sum()]),
    }
    for row in rows:
        if np.isfinite(row).sum() < 2:
            continue
        found = slots_kept(row, qmax)
        if found is None:
            fields["lost"] += 1
            continue
        fields["starts"][found[0]] += 1
        if found[1] < len(GRID):
            fields["ends"][found[1]] += 1
    return fields


@pytest.fixture
def check(to_numpy: Callable[..., np.ndarray]) -> Callable[..., None]:
    """A function that compares a state with the rows of each of its entries."""

    def compare(found: Top2, *entries: Any) -> None:
        expected = [definition(rows, found.qmax) for rows in entries]
        for name in found.array_fields():
            values = np.stack([fields[name] for fields in expected])
            own = to_numpy(getattr(found, name))
            np.testing.assert_array_equal(own, values, name, strict=True)

    return compare


HARD = [
    [0.5, 0.25, 0.25],  # L1 / (n + 1/2) and L2 / (n + 1/2) are scales of the grid
    [0.75, 0.25, 0],  # intervals that just touch
    [1.5, 0.5, 0],
    [127, 126, 1],
    [1, 1, 0],
    [0, 0, 0],
    [-1, -2, -3],
    [3, -2, -5],
    [1, 0, 0],
    [1, np.nextafter(np.float32(1), np.float32(0)), 0],
    [0.6, 0.5999, 0.2],
    [3.4e38, 3e38, 1],
    [3.4e38, 0, 0],
    [3.4e38, -3.4e38, 1],
    [1e38, 1e-38, 0],
    [1e-38, 2e-39, 0],
    [TINY, TINY / 2, 0],
    [2.9 * TINY, 0.9 * TINY, 0],
    [np.nan, 0.5, 0.1],
    [np.inf, 0.5, 0.1],
    [np.nan, -np.inf, 0.1],
]


@each_spec
def test_the_ends_of_rows_are_those_of_exact_fractions(
    run: Callable[..., Any],
    array: Callable[..., Any],
    check: Callable[..., None],
    spec: QuantSpec,
) -> None:
    x = np.asarray([*HARD, *softmax(12, 3)], np.float32)
    found = run(lambda x: Top2.of(x, format=spec.format), array(x))
    check(found, x)


def test_16_bit_floats_are_taken_as_they_are(
    run: Callable[..., Any],
    array: Callable[..., Any],
    to_numpy: Callable[..., np.ndarray],
    check: Callable[..., None],
    float_dtype: str,
) -> None:
    x = array(softmax(9, 5), float_dtype)
    check(run(Top2.of, x), to_numpy(x).astype(np.float32))


@each_spec
def test_codes_of_the_rows_that_count_as_kept_are_ordered(spec: QuantSpec) -> None:
    x = np.concatenate([softmax(60, 5), softmax(60, 5, 1, 0.3)])
    largest = x.argmax(axis=1)
    states = [Top2.of(row, format=spec.format) for row in x]
    kept = np.stack([state.kept[0] for state in states])
    for slot in np.flatnonzero(kept.any(axis=0))[::-7][:120]:
        scale = np.asarray(GRID[slot], np.float32)
        qparams = QParams(scale, np.asarray(0, np.int32), spec)
        codes = quantize(x, qparams).astype(np.int64)
        top = np.take_along_axis(codes, largest[:, None], axis=1)
        alone = (codes >= top).sum(axis=1) == 1
        assert np.all(alone[kept[:, slot] == 1])


def test_kept_is_how_many_rows_each_scale_keeps(
    array: Callable[..., Any], to_numpy: Callable[..., np.ndarray]
) -> None:
    x = softmax(12, 4)
    expected = np.zeros(len(GRID), np.int64)
    for row in x:
        start, end = slots_kept(row, 127) or (0, 0)
        expected[start:end] += 1
    np.testing.assert_array_equal(to_numpy(Top2.of(array(x)).kept), expected[None])


@pytest.mark.parametrize("axis", [0, 1, -2, 2])
def test_values_are_compared_along_the_axis(
    array: Callable[..., Any], check: Callable[..., None], axis: int
) -> None:
    x = softmax(6, 4).reshape(2, 3, 4)
    found = Top2.of(array(x), axis=axis)
    check(found, np.moveaxis(x, axis, -1).reshape(-1, x.shape[axis]))


@pytest.mark.parametrize(("kept", "axis"), [(1, -1), (1, 0), ((2, 0), 1), (-1, 1)])
def test_every_channel_has_its_own_rows(
    array: Callable[..., Any], check: Callable[..., None], kept: Any, axis: int
) -> None:
    x = softmax(30, 4).reshape(2, 3, 5, 4)
    found = Top2.of(array(x), axis=axis, granularity=PerChannel(kept))
    kept = tuple(sorted(k % 4 for k in np.atleast_1d(kept)))
    assert found.extents == tuple(n if i in kept else 1 for i, n in enumerate(x.shape))
    others = [i for i in range(4) if i not in (*kept, axis % 4)]
    entries = x.transpose(*kept, *others, axis)
    check(found, *entries.reshape(found.channels, -1, x.shape[axis]))


def test_a_mask_keeps_where_true(
    run: Callable[..., Any], array: Callable[..., Any], check: Callable[..., None]
) -> None:
    x = softmax(10, 4)
    mask = np.random.default_rng(2).uniform(size=x.shape) < 0.6
    found = run(lambda x, mask: Top2.of(x, mask=mask), array(x), array(mask))
    check(found, [row[keep] for row, keep in zip(x, mask, strict=True)])


def test_a_mask_may_leave_out_whole_rows(
    array: Callable[..., Any], check: Callable[..., None]
) -> None:
    x = softmax(10, 4)
    mask = np.arange(10)[:, None] % 3 > 0
    check(Top2.of(array(x), mask=array(mask)), x[mask[:, 0]])


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), (1,), (), (4, 1)])
def test_a_row_of_fewer_than_two_values_is_not_counted(
    array: Callable[..., Any], check: Callable[..., None], shape: tuple[int, ...]
) -> None:
    x = np.full(shape, 0.7, np.float32)
    found = Top2.of(array(x))
    assert found.extents == ()
    check(found, x.reshape(-1, 1))


@pytest.mark.parametrize("shape", [(0, 3), (3, 0)])
def test_channels_without_rows_are_empty(
    array: Callable[..., Any], check: Callable[..., None], shape: tuple[int, ...]
) -> None:
    found = Top2.of(array(np.zeros(shape, np.float32)), granularity=PerChannel(0))
    assert found.channels == shape[0]
    if shape[0]:
        check(found, *([[]] * shape[0]))


def test_batches_of_any_size_and_order_give_the_same_state(
    array: Callable[..., Any], check: Callable[..., None]
) -> None:
    x = np.concatenate([softmax(20, 3), np.asarray(HARD, np.float32)])
    parts = [array(x[i:j]) for i, j in [(30, 41), (0, 1), (7, 30), (1, 7)]]
    state = Top2.of(parts[0], format="int4")
    for part in parts[1:]:
        state = state.update(part)
    check(state, x)


def test_an_update_keeps_axis_and_mask(
    array: Callable[..., Any], check: Callable[..., None]
) -> None:
    x, mask = softmax(3, 5), np.arange(3)[:, None] != 1
    state = Top2.of(array(x), axis=0, format="int4").update(array(x), array(mask))
    check(state, [*x.T, *x[[0, 2]].T])


def test_states_are_stacked_and_taken_apart(
    array: Callable[..., Any], check: Callable[..., None]
) -> None:
    one, two = softmax(4, 3), softmax(6, 5).reshape(2, 3, 5)
    parts = [Top2.of(array(one)), Top2.of(array(two), granularity=PerChannel(0))]
    both = stack(parts)
    check(both, one, *two)
    first, second = unstack(both, parts)
    check(first, one)
    check(second, *two)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"granularity": PerChannel(1)}, "must not keep axis -1, along which values"),
        ({"granularity": PerChannel((0, 1)), "axis": 0}, "must not keep axis 0"),
        ({"granularity": PerBlock(1, 2)}, r"must be PerTensor\(\) or PerChannel"),
        ({"axis": 3}, r"axis 3 must lie in \[-2, 2\) for 2-d data"),
        ({"format": "float8_e4m3fn"}, "must be an integer format, .*; got float8"),
        ({"format": "int99"}, "must be a known name"),
    ],
)
def test_what_cannot_keep_rows_is_refused(options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Top2.of(np.ones((2, 3), np.float32), **options)


def test_counts_beyond_32_bits_add_up(
    array: Callable[..., Any], to_numpy: Callable[..., np.ndarray]
) -> None:
    state = many = Top2.of(array(softmax(5, 3)))
    for _ in range(40):
        many = many.merge(many)
    expected = to_numpy(state.starts) << 40
    np.testing.assert_array_equal(to_numpy(many.starts), expected)
