"""Files of many machines merged: what one state of all values would be."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from qcore import (
    FileFormatError,
    Histogram,
    Moments,
    MovingRange,
    PerChannel,
    QuantError,
    Range,
    ShardError,
    Shards,
    load,
    merge_files,
    save,
)

RNG = np.random.default_rng(0)
PARTS = [
    (RNG.normal(size=(3, 200)) * scale).astype(np.float32)
    for scale in (1, 1, 0.9, 300, 1, 0, 1e-30, 40, 41, 5000, 1e5, 1e9)
]
KINDS: dict[str, Callable[[Any], Any]] = {
    "histogram": lambda x: Histogram.of(x, bins=64),
    "per-channel": lambda x: Histogram.of(x, bins=16, granularity=PerChannel(0)),
    "range": Range.of,
    "moments": Moments.of,
}


def assert_same(found: Any, expected: Any) -> None:
    for field in expected.array_fields():
        ours, theirs = getattr(found, field), getattr(expected, field)
        np.testing.assert_array_equal(ours, theirs, strict=True)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that saves a shard and returns its path."""

    def write(number: int, of: int, run: str = "run", **states: Any) -> Path:
        path = tmp_path / f"{run}-{number}"
        save(path, states, shards=Shards(run, of, (number,)))
        return path

    return write


@pytest.mark.parametrize("of", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("step", [1, -1])
def test_files_in_any_order_give_what_all_values_give(write, of, step: int) -> None:
    paths = [write(n, 12, x=of(part)) for n, part in enumerate(PARTS, 1)]
    states, shards = merge_files(paths[::step])
    assert_same(states["x"], of(np.concatenate(PARTS, axis=1)))
    assert shards == Shards("run", 12, tuple(range(1, 13)))


def test_counts_beyond_32_bits_add(write) -> None:
    one = Histogram.of(PARTS[0], bins=2, weights=np.float32(2**30))
    states, _ = merge_files([write(n, 3, x=one) for n in (1, 2, 3)])
    assert_same(states["x"], one.merge(one).merge(one))


def test_names_keep_the_order_of_the_shards_and_none_is_lost(write) -> None:
    one = Range.of(PARTS[0])
    paths = [write(2, 2, a=one, z=one, b=one), write(1, 2, c=one, a=one)]
    states, _ = merge_files(paths)
    assert list(states) == ["c", "a", "z", "b"]
    assert_same(states["z"], one)


def test_a_shard_that_is_there_twice_is_refused(write, tmp_path: Path) -> None:
    paths = [write(n, 2, x=Range.of(PARTS[0])) for n in (1, 2)]
    copy = tmp_path / "copy"
    copy.write_bytes(paths[0].read_bytes())
    message = rf"shard 1/2 must be given once; both .*{paths[0].name} and .*copy hold"
    with pytest.raises(ShardError, match=message):
        merge_files([*paths, copy])


def test_missing_shards_are_named(write) -> None:
    paths = [write(n, 9, x=Range.of(PARTS[0])) for n in (2, 5, 6)]
    with pytest.raises(ShardError, match=r"missing: shards 1, 3-4, 7-9 of 9\."):
        merge_files(paths)


def test_parts_of_a_run_can_be_merged_in_turn(write, tmp_path: Path) -> None:
    of = KINDS["histogram"]
    paths = [write(n, 3, x=of(PARTS[n])) for n in (1, 2, 3)]
    states, shards = merge_files(paths[1:], partial=True)
    save(tmp_path / "two", states, shards=shards)
    with pytest.raises(ShardError, match="shard 2/3 must be given once"):
        merge_files([tmp_path / "two", paths[1]])
    states, shards = merge_files([tmp_path / "two", paths[0]])
    assert_same(states["x"], of(np.concatenate(PARTS[1:4])))
    assert not shards.missing


def test_shards_of_two_runs_are_refused(write) -> None:
    paths = [write(n, 2, run, x=Range.of(PARTS[0])) for n, run in ((1, "a"), (2, "b"))]
    with pytest.raises(ShardError, match=r"b-2: shards must be of one run: the same"):
        merge_files(paths)


def test_files_without_shards_merge_each_once(tmp_path: Path) -> None:
    for name, part in zip("ab", PARTS, strict=False):
        save(tmp_path / name, {"x": Range.of(part)})
    states, shards = merge_files([tmp_path / "a", tmp_path / "b"])
    assert_same(states["x"], Range.of(np.concatenate(PARTS[:2])))
    assert shards is None
    with pytest.raises(ShardError, match=r"a must be given once; got twice"):
        merge_files([tmp_path / "a", tmp_path / "b", tmp_path / ".." / tmp_path / "a"])


def test_files_with_and_without_shards_do_not_mix(write, tmp_path: Path) -> None:
    save(tmp_path / "none", {"x": Range.of(PARTS[0])})
    with pytest.raises(
        ShardError, match=r"all be shards, or none of them; .*none is none"
    ):
        merge_files([write(1, 2, x=Range.of(PARTS[0])), tmp_path / "none"])


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (Histogram.of(PARTS[0]), Histogram.of(PARTS[0], bins=9), "share their bins"),
        (Histogram.of(PARTS[0]), Range.of(PARTS[0]), "share their class"),
        (MovingRange.of(PARTS[0]), MovingRange.of(PARTS[1]), "order"),
    ],
)
def test_what_does_not_merge_is_told_with_file_and_name(
    write, first, second, message
) -> None:
    paths = [write(1, 2, x=first), write(2, 2, x=second)]
    with pytest.raises(QuantError, match=f"run-2: 'x': .*{message}"):
        merge_files(paths)


def test_no_file_is_an_error() -> None:
    with pytest.raises(ShardError, match="files to merge must be given; got none"):
        merge_files([])


def test_arrays_of_another_shape_are_a_damaged_file(write) -> None:
    paths = [write(n, 2, x=Histogram.of(PARTS[0])) for n in (1, 2)]
    with safe_open(paths[1], framework="numpy") as file:
        metadata = file.metadata()
    arrays = load_file(paths[1])
    arrays["0.nans"] = np.zeros((7,), np.uint8)
    save_file(arrays, paths[1], metadata=metadata)
    with pytest.raises(FileFormatError, match="nans of shape"):
        merge_files(paths)


@pytest.mark.parametrize("numbers", [(0,), (3,), (2, 1), (1, 1), (1.0,), (True,)])
def test_shards_that_cannot_be_are_refused(numbers) -> None:
    with pytest.raises(ShardError, match="from 1 to 2, ascending"):
        Shards("run", 2, numbers)


def test_shards_in_a_file_are_checked(write) -> None:
    path = write(1, 2, x=Range.of(PARTS[0]))
    path.write_bytes(path.read_bytes().replace(rb"\"of\": 2", rb"\"of\": 0"))
    with pytest.raises(FileFormatError, match="from 1 to 0, ascending"):
        merge_files([path])
    assert list(load(path)) == ["x"]
