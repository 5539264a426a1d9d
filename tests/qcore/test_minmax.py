"""Ends of ranges that keep everything, and those that follow the batches."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from qcore import Histogram, MovingRange, PerChannel, QuantSpec, Range, compute_range

BATCHES = np.asarray([[-1, 2], [-5, 1], [0.5, 3]], np.float32)


def found_range(statistics: Any, name: str = "int8", symmetric: bool = True) -> Any:
    method = "moving_average" if isinstance(statistics, MovingRange) else "minmax"
    spec = QuantSpec(name, symmetric=symmetric)
    lo, hi = compute_range(statistics, spec, method)
    return float(lo[0]), float(hi[0])


@pytest.mark.parametrize("cls", [Range, Histogram])
@pytest.mark.parametrize(
    ("values", "name", "symmetric", "expected"),
    [
        ([-3, 2], "int8", True, (-3, 3)),
        ([-3, 2], "uint8", True, (0, 2)),
        ([-3, -2], "uint8", True, (0, 0)),
        ([-3, 2], "int8", False, (-3, 2)),
        ([1, 2], "int8", False, (0, 2)),
        ([-3, -2], "uint8", False, (-3, 0)),
        ([-3, 2], "float8_e4m3fn", True, (-3, 3)),
    ],
)
def test_minmax_is_the_range_seen_widened_to_zero(
    cls: Any, values: Any, name: str, symmetric: bool, expected: Any
) -> None:
    statistics = cls.of(np.asarray(values, np.float32))
    assert found_range(statistics, name, symmetric) == expected


def test_minmax_is_taken_of_each_channel() -> None:
    seen = Range.of(BATCHES, granularity=PerChannel(0))
    lo, hi = compute_range(seen, QuantSpec("int8", symmetric=False), "minmax")
    assert lo.tolist() == [-1, -5, 0]
    assert hi.tolist() == [2, 1, 3]


def test_max_is_another_name_of_minmax() -> None:
    seen = Range.of(BATCHES)
    assert compute_range(seen, QuantSpec(), "max") == ([-5], [5])


def test_a_moving_average_starts_at_the_first_batch() -> None:
    state = MovingRange.of(BATCHES[0], averaging_constant=0.25)
    assert found_range(state, symmetric=False) == (-1, 2)


def test_a_moving_average_moves_by_a_share_of_the_difference() -> None:
    state = MovingRange.of(BATCHES[0], averaging_constant=0.25)
    for batch in BATCHES[1:]:
        state = state.update(batch)
    # -1 → -1 - 4/4 = -2 → -2 + 2.5/4; 2 → 2 - 1/4 = 1.75 → 1.75 + 1.25/4.
    assert found_range(state, symmetric=False) == (-1.375, 2.0625)
    assert found_range(state) == (-2.0625, 2.0625)


def test_a_constant_of_one_is_the_last_batch() -> None:
    state = MovingRange.of(BATCHES[0], averaging_constant=1).update(BATCHES[1])
    assert found_range(state, symmetric=False) == (-5, 1)


def test_a_moving_average_is_the_same_on_every_library(
    xp: Any, array: Callable[..., Any], to_numpy: Callable[..., np.ndarray]
) -> None:
    batches = np.random.default_rng(0).normal(size=(9, 50)).astype(np.float32)
    low, high = batches[0].min(), batches[0].max()
    for batch in batches[1:]:
        low, high = (
            np.float32(float(old) + 0.01 * (float(new) - float(old)))
            for old, new in ((low, batch.min()), (high, batch.max()))
        )
    state = MovingRange.of(array(batches[0]))
    for batch in batches[1:]:
        state = state.update(array(batch))
    spec = QuantSpec("int8", symmetric=False)
    ends = compute_range(state, spec, "moving_average", xp=xp)
    assert [to_numpy(end).tolist() for end in ends] == [[low], [high]]
