"""`sync_statistics` in processes of Gloo: the bits of one process that saw all data.

The processes run in sync_ranks.py, once for all tests.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import distributed

from qcore import Histogram, MovingRange, Range, load
from qcore.adapters.torch.synchronization.distributed import sync, sync_statistics

SCRIPT = Path(__file__).with_name("sync_ranks.py")
SPEC = spec_from_file_location("sync_ranks", SCRIPT)
assert SPEC is not None
assert SPEC.loader is not None
ranks = module_from_spec(SPEC)
SPEC.loader.exec_module(ranks)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (distributed.is_available() and distributed.is_gloo_available()),
        reason="torch was built without Gloo",
    ),
]
each_size = pytest.mark.parametrize("size", ranks.SIZES)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of what all processes found."""
    folder = tmp_path_factory.mktemp("ranks")
    run = [sys.executable, "-P", "-W", "error", str(SCRIPT), str(folder)]
    done = subprocess.run(run, check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return folder


def written(results: Path, check: str, members: Any) -> Iterator[str]:
    """Yield what the processes wrote for a check."""
    for rank in members:
        path = results / f"{check.replace('.', f'.{rank}.', 1)}"
        yield path.read_text(encoding="utf-8")


def assert_same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    """Compare states bit for bit, dtypes, settings and names too."""
    assert found.keys() == expected.keys()
    for name, state in expected.items():
        ours, theirs = found[name], state.to(np)
        assert type(ours) is type(theirs)
        for field in theirs.static_fields():
            assert getattr(ours, field) == getattr(theirs, field)
        for field in theirs.array_fields():
            pair = getattr(ours, field), getattr(theirs, field)
            np.testing.assert_array_equal(*pair, strict=True)


def everything(size: int) -> list[torch.Tensor]:
    """Return the batches that the ranks see together."""
    return [ranks.x(i) for i in range(sum(ranks.BATCHES[size]))]


@each_size
def test_every_rank_has_the_bits_of_one_process(results: Path, size: int) -> None:
    expected = ranks.collected([torch.cat(everything(size))])
    by_rows = ranks.collected(everything(size))
    expected |= {"range": by_rows["range"]}  # batches of equal rows share its entries
    for rank in range(size):
        assert_same(load(results / f"{size}.{rank}.mapping"), expected)


@each_size
def test_ranks_may_have_different_modules(results: Path, size: int) -> None:
    of: Callable[[Any], Any] = lambda b: Histogram.of(torch.cat(b), bins=32)  # noqa: E731
    expected = {"shared._input_quantizer": of(everything(size))}
    for parity in (0, 1):
        members = range(parity, size, 2)
        if seen := [x for rank in members for x in ranks.batches_of(rank, size)]:
            expected[f"own{parity}._input_quantizer"] = of(seen)
    for rank in range(size):
        found = load(results / f"{size}.{rank}.model")
        assert_same(found, expected)
        mine = load(results / f"{size}.{rank}.calibrators")
        kept = {f"{name}._input_quantizer" for name in ("shared", f"own{rank % 2}")}
        assert_same(mine, {n: expected[n] for n in expected if n in kept})


@each_size
def test_a_rank_without_data_holds_what_the_others_saw(
    results: Path, size: int
) -> None:
    without = [rank for rank in range(size) if not ranks.BATCHES[size][rank]]
    assert len(without) == (size > 2)
    for rank in without:
        held = load(results / f"{size}.{rank}.calibrators")
        assert_same(
            {"x": held["shared._input_quantizer"]},
            {"x": Histogram.of(torch.cat(everything(size)), bins=32)},
        )


@each_size
def test_where_nothing_was_seen_there_is_nothing(results: Path, size: int) -> None:
    for rank in range(size):
        assert load(results / f"{size}.{rank}.nothing") == {}


@each_size
@pytest.mark.parametrize(
    ("check", "words"),
    [
        ("bins", "ValueError: statistics of 'x' must share their bins; got 32 in rank"),
        ("extents", "must share their extents; got (1, 5) in rank 0 and (1, 4) in"),
        ("class", "must share their class; got Histogram in rank 0 and Range in rank"),
        ("moving", "TypeError: statistics of 'x' must be such as merge in any order"),
        ("thing", "TypeError: statistics of 'x' must be such as merge in any order"),
    ],
)
def test_what_does_not_fit_is_the_same_error_in_every_rank(
    results: Path, size: int, check: str, words: str
) -> None:
    errors = set(written(results, f"{size}.{check}", range(size)))
    assert len(errors) == 1
    assert words in (error := errors.pop())
    assert error.endswith(f"rank {size - 1}.")


@each_size
@pytest.mark.parametrize("check", ["after", "again"])
def test_an_error_leaves_the_ranks_in_step(
    results: Path, size: int, check: str
) -> None:
    expected = {"x": Range.of(torch.cat([ranks.x(rank) for rank in range(size)]))}
    for rank in range(size):
        assert_same(load(results / f"{size}.{rank}.{check}"), expected)


@each_size
def test_a_rank_that_does_not_come_is_named_by_all(results: Path, size: int) -> None:
    errors = set(written(results, f"{size}.timeout", range(size)))
    assert errors == {
        "TimeoutError: every process must call sync_statistics, and stay until it "
        f"ends, within {ranks.SHORT:g} s; rank {size - 1} did not."
    }
    for seconds in written(results, f"{size}.timeout.seconds", range(size - 1)):
        assert ranks.SHORT <= float(seconds) < ranks.SHORT + 2


@each_size
def test_a_rank_that_crashes_on_the_way_is_named(results: Path, size: int) -> None:
    errors = set(written(results, f"{size}.crash", range(size - 1)))
    assert len(errors) == 1
    assert errors.pop().endswith(f"s; rank {size - 1} did not.")
    for seconds in written(results, f"{size}.crash.seconds", range(size - 1)):
        assert float(seconds) < ranks.SHORT + 5


@pytest.mark.parametrize("size", [3, 4])
def test_a_group_syncs_alone(results: Path, size: int) -> None:
    expected = {"x": Range.of(torch.cat([ranks.x(0), ranks.x(2)]))}
    for rank in (0, 2):
        assert_same(load(results / f"{size}.{rank}.members"), expected)
    assert "`group` must hold this process" in next(
        written(results, f"{size}.group", [1])
    )


def test_without_torch_distributed_there_is_nothing_to_merge() -> None:
    state = MovingRange.of(ranks.x(0))
    assert sync({"x": state, "unseen": None}) == {"x": state}


def test_without_torch_distributed_calibrators_keep_what_they_hold() -> None:
    net = ranks.net_of(0, [ranks.x(0)])
    before = ranks.held(net)
    assert sync_statistics(net) == before == ranks.held(net)


@pytest.mark.parametrize("timeout", [0, -1.0, float("nan")])
def test_a_timeout_is_positive(tmp_path: Path, timeout: float) -> None:
    store = f"file://{tmp_path}/store"
    distributed.init_process_group("gloo", init_method=store, rank=0, world_size=1)
    try:
        with pytest.raises(ValueError, match="`timeout` must be positive seconds"):
            sync({}, timeout=timeout)
    finally:
        distributed.destroy_process_group()
