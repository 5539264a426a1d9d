"""Statistics written to files and read again, on any library."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from qcore import (
    Histogram,
    Moments,
    MovingRange,
    PerBlock,
    PerChannel,
    Range,
    Top2,
    calibrate,
    load,
    save,
)
from qcore.spec import QuantSpec

X = np.random.default_rng(0).normal(size=(4, 60)).astype(np.float32)
KINDS: dict[str, Callable[[Any], Any]] = {
    "histogram": lambda x: Histogram.of(x, bins=64),
    "per-channel": lambda x: Histogram.of(x, bins=16, granularity=PerChannel(-1)),
    "per-axes": lambda x: Histogram.of(x, bins=16, granularity=PerChannel((0, 1))),
    "range": lambda x: Range.of(x, granularity=PerBlock(1, 7)),
    "moving": lambda x: MovingRange.of(x, averaging_constant=0.3),
    "moments": lambda x: Moments.of(x, granularity=PerChannel(0)),
    "top2": lambda x: Top2.of(x, axis=0, format="uint4"),
}
each_kind = pytest.mark.parametrize("of", KINDS.values(), ids=KINDS)


def assert_same(found: Any, expected: Any) -> None:
    """Compare two states of NumPy, bit for bit, dtypes and settings too."""
    assert type(found) is type(expected)
    for field in expected.static_fields():
        assert getattr(found, field) == getattr(expected, field)
    for field in expected.array_fields():
        ours, theirs = getattr(found, field), getattr(expected, field)
        np.testing.assert_array_equal(ours, theirs, strict=True)


@each_kind
def test_a_state_saved_on_any_library_is_the_same_on_numpy(
    tmp_path: Path, array: Callable[..., Any], of: Callable[[Any], Any]
) -> None:
    save(tmp_path / "s", {"x": of(array(X))})
    assert_same(load(tmp_path / "s")["x"], of(X))


@each_kind
def test_a_state_saved_on_numpy_is_the_same_on_any_library(
    tmp_path: Path, xp: Any, device: Any, of: Callable[[Any], Any]
) -> None:
    save(tmp_path / "s", {"x": of(X)})
    state = load(tmp_path / "s", xp=xp, device=device)["x"]
    assert state.xp.__name__.endswith(xp.__name__.rpartition(".")[2])
    assert device is None or state.min.device == device
    assert_same(state.to(np), of(X))


def test_names_keep_their_characters_and_their_order(tmp_path: Path) -> None:
    names = [
        "/conv1/Conv_output:0",
        "",
        "ü→名",
        'a"b\\c\n',
        "__metadata__",
        "0.k",
        "\x00",
    ]
    save(tmp_path / "s", {name: Range.of(X[:1] + i) for i, name in enumerate(names)})
    loaded = load(tmp_path / "s")
    assert list(loaded) == names
    for i, name in enumerate(names):
        assert_same(loaded[name], Range.of(X[:1] + i))


def test_no_states_at_all_are_a_file_too(tmp_path: Path) -> None:
    save(tmp_path / "s", {})
    assert load(tmp_path / "s") == {}


def test_states_that_saw_nothing_are_kept(tmp_path: Path) -> None:
    empty = np.empty((0, 3), np.float32)
    states = {
        "histogram": Histogram.of(empty),
        "no channels": Histogram.of(empty, granularity=PerChannel(0)),
        "range": Range.of(empty),
    }
    save(tmp_path / "s", states)
    for name, state in load(tmp_path / "s").items():
        assert_same(state, states[name])


def test_nan_and_weights_are_kept(tmp_path: Path) -> None:
    x = np.asarray([1, np.nan, np.inf, -np.inf, 0, -2], np.float32)
    state = Histogram.of(x, weights=np.linspace(0, 1, 6))
    save(tmp_path / "s", {"x": state})
    assert_same(load(tmp_path / "s")["x"], state)


def test_counts_beyond_32_bits_are_kept(tmp_path: Path) -> None:
    state = Histogram.of(X)
    for _ in range(50):
        state = state.merge(state)
    save(tmp_path / "s", {"x": state})
    assert_same(load(tmp_path / "s")["x"], state)


@each_kind
def test_a_run_saved_and_resumed_equals_one_run(
    tmp_path: Path, of: Callable[[Any], Any]
) -> None:
    batches = [X, X * 9, X - 4]
    state = of(batches[0])
    for batch in batches[1:]:
        save(tmp_path / "s", {"x": state})
        state = load(tmp_path / "s")["x"].update(batch)
    whole = of(batches[0]).update(batches[1]).update(batches[2])
    assert_same(state, whole)


def test_shards_from_files_merge_to_the_whole(tmp_path: Path) -> None:
    for i, row in enumerate(X):
        save(tmp_path / str(i), {"x": Histogram.of(row)})
    shards = [load(tmp_path / str(i))["x"] for i in (2, 0, 3, 1)]
    merged = shards[0].merge(shards[1]).merge(shards[2].merge(shards[3]))
    assert_same(merged, Histogram.of(X))


def test_a_loaded_state_calibrates_to_the_same_scale(tmp_path: Path) -> None:
    save(tmp_path / "s", {"x": Histogram.of(X)})
    loaded = load(tmp_path / "s")["x"]
    assert (
        calibrate(loaded, QuantSpec()).scale
        == calibrate(Histogram.of(X), QuantSpec()).scale
    )


def test_counts_take_the_narrowest_dtype_and_the_slots_in_use(tmp_path: Path) -> None:
    save(tmp_path / "s", {"x": Histogram.of(np.arange(-100, 101, dtype=np.float32))})
    counts = load_file(tmp_path / "s")["0.counts"]
    assert counts.dtype == np.uint8
    assert counts.shape == (1, 2, 3201)  # 100 lies in the slot 3200 of width 2**-5
    assert (tmp_path / "s").stat().st_size < 10_000


def test_rows_that_keep_their_order_take_the_slots_in_use(tmp_path: Path) -> None:
    save(tmp_path / "s", {"x": Top2.of(np.float32([[0.5, 0.2], [1, 0]]))})
    ends = load_file(tmp_path / "s")["0.ends"]
    assert ends.dtype == np.uint8
    assert ends.shape == (1, 126 * 32 + 1)  # the last end is the scale 2


def test_writing_is_atomic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "s", {"x": Range.of(X)})

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as raised:
        save(tmp_path / "s", {"x": Range.of(2 * X)})
    assert raised.value.filename == str(tmp_path / "s")
    assert [path.name for path in tmp_path.iterdir()] == ["s"]
    assert_same(load(tmp_path / "s")["x"], Range.of(X))


def test_an_interrupt_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path / "s", {"x": Range.of(X)})

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save(tmp_path / "s", {"x": Range.of(2 * X)})
    assert [path.name for path in tmp_path.iterdir()] == ["s"]
    assert_same(load(tmp_path / "s")["x"], Range.of(X))


@pytest.mark.parametrize(
    ("states", "message"),
    [
        ({"x": X}, "must hold states such as Histogram; got ndarray for 'x'"),
        ({3: Range.of(X)}, "must have strings for names; got 3"),
    ],
)
def test_what_cannot_be_saved_is_refused_before_writing(
    tmp_path: Path, states: Any, message: str
) -> None:
    with pytest.raises(TypeError, match=message):
        save(tmp_path / "s", states)
    assert list(tmp_path.iterdir()) == []


def test_a_new_file_has_the_permissions_of_any_other(tmp_path: Path) -> None:
    save(tmp_path / "s", {})
    (tmp_path / "plain").touch()
    modes = {(tmp_path / name).stat().st_mode for name in ("s", "plain")}
    assert len(modes) == 1


def test_a_missing_file_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such file"):
        load(tmp_path / "s")


def test_a_missing_folder_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        save(tmp_path / "folder" / "s", {})
