"""States that move between libraries and keep every bit."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from qcore import Histogram, MovingRange, PerChannel, Range

X = np.random.default_rng(0).normal(size=(3, 50)).astype(np.float32)
KINDS: dict[str, Callable[[Any], Any]] = {
    "histogram": lambda x: Histogram.of(x, bins=16, granularity=PerChannel(0)),
    "range": Range.of,
    "moving": lambda x: MovingRange.of(x, averaging_constant=0.5),
}
each_kind = pytest.mark.parametrize("of", KINDS.values(), ids=KINDS)


def assert_same(found: Any, expected: Any, to_numpy: Callable[..., np.ndarray]) -> None:
    for field in expected.array_fields():
        ours, theirs = (to_numpy(getattr(s, field)) for s in (found, expected))
        np.testing.assert_array_equal(ours, theirs, strict=True)


@each_kind
def test_a_state_moves_to_a_library(
    xp: Any, device: Any, to_numpy: Callable[..., np.ndarray], of: Callable[[Any], Any]
) -> None:
    moved = of(X).to(xp, device)
    assert type(moved.min) is type(xp.asarray([1.0], device=device))
    assert device is None or moved.min.device == device
    assert_same(moved, of(X), to_numpy)


@each_kind
def test_a_state_moves_back(
    array: Callable[..., Any], of: Callable[[Any], Any]
) -> None:
    moved = of(array(X)).to(np)
    assert isinstance(moved.min, np.ndarray)
    assert_same(moved, of(X), np.asarray)


def test_settings_move_along(xp: Any) -> None:
    moved = KINDS["histogram"](X).to(xp)
    assert (moved.bins, moved.granularity, moved.extents) == (16, PerChannel(0), (3, 1))


@each_kind
def test_a_moved_state_goes_on_where_it_was(
    array: Callable[..., Any],
    xp: Any,
    device: Any,
    to_numpy: Callable[..., np.ndarray],
    of: Callable[[Any], Any],
) -> None:
    moved = of(X).to(xp, device).update(array(2 * X))
    assert_same(moved, of(X).update(2 * X), to_numpy)


def test_a_moved_state_shares_no_memory() -> None:
    state = Range.of(X)
    moved = state.to(np)
    moved.min[0] = 99
    assert state.min[0] != 99


def test_a_library_may_be_named_by_its_own_module() -> None:
    torch = pytest.importorskip("torch")
    assert isinstance(Range.of(X).to(torch).min, torch.Tensor)
