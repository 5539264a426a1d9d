"""Calibration by the workers of an executor: the same bits as by one process."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest

from qcore import NonFiniteError, QuantError, Range, ShardError
from qcore.adapters.onnx import calibrate


@pytest.fixture
def threads():
    with ThreadPoolExecutor(2) as executor:
        yield executor


@pytest.mark.slow
def test_processes_give_the_bits_of_one_process(net, samples, pool, equal):
    found = calibrate(net, samples, executor=pool, shards=3)
    equal(found, calibrate(net, samples))


@pytest.mark.slow
def test_workers_open_paths_by_themselves(net, samples, pool, equal, tmp_path: Path):
    onnx.save(net, tmp_path / "net.onnx")
    np.savez(tmp_path / "data.npz", x=np.concatenate([s["x"] for s in samples]))
    given = tmp_path / "net.onnx", tmp_path / "data.npz"
    found = calibrate(*given, samples=7, bins=64, executor=pool)
    equal(found, calibrate(*given, samples=7, bins=64))


@pytest.mark.slow
def test_the_shards_that_a_killed_worker_loses_are_named_and_finished_later(
    net, samples, fatal, new_pool, equal, tmp_path: Path
):
    given = net, fatal(samples, 5)
    options = {"shards": 4, "checkpoint": tmp_path / "done"}
    lost = r"shards? .*2.* must be finished by a worker; lost by BrokenProcessPool"
    with new_pool(1) as pool, pytest.raises(ShardError, match=lost):
        calibrate(*given, executor=pool, **options)
    with new_pool(1) as pool:
        found = calibrate(*given, executor=pool, **options)
    equal(found, calibrate(net, samples))


@pytest.mark.parametrize("shards", [1, 5, 16, 40])
def test_any_number_of_shards_gives_the_same(net, samples, threads, equal, shards):
    found = calibrate(net, samples, executor=threads, shards=shards)
    equal(found, calibrate(net, samples))


def test_other_statistics_are_shared_too(net, samples, threads, equal):
    found = calibrate(net, samples, statistics=Range, executor=threads)
    equal(found, calibrate(net, samples, statistics=Range))


def test_a_finished_shard_is_not_done_again(net, samples, threads, equal, tmp_path):
    read = set()

    class Read(list):
        def __getitem__(self, number):
            read.add(number)
            return super().__getitem__(number)

    options = {"executor": threads, "shards": 4, "checkpoint": tmp_path / "done"}
    first = calibrate(net, samples, **options)
    next(iter(sorted((tmp_path / "done").iterdir()))).unlink()
    equal(calibrate(net, Read(samples), **options), first)
    assert read == {0, 1, 2, 3}


def test_every_sample_is_followed_once(net, samples, threads):
    seen = []

    def progress(given, total):
        assert total == 16
        for number, feed in given:
            seen.append(number)
            yield number, feed

    calibrate(net, samples, executor=threads, shards=3, progress=progress)
    assert sorted(seen) == list(range(16))


def test_a_bad_sample_is_named_by_its_number_in_the_whole(net, samples, threads):
    bad = [*samples[:9], {"x": samples[0]["x"] * np.float32(np.nan)}, *samples]
    with pytest.raises(NonFiniteError, match="holds NaN in sample 9"):
        calibrate(net, bad, executor=threads, shards=4)


def test_an_error_of_the_data_names_the_shard(net, threads):
    class Dataset:
        def __len__(self):
            return 16

        def __getitem__(self, number):
            raise OSError("no such picture")

    with pytest.raises(ShardError, match=r"shard \d/4 .* OSError: no such picture"):
        calibrate(net, Dataset(), executor=threads, shards=4)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"executor": 4}, TypeError, "`executor` must be a concurrent.futures.Exec"),
        ({"shards": 4}, QuantError, "`shards` must come with an `executor`"),
    ],
)
def test_what_cannot_share_is_refused(net, samples, options, error, message):
    with pytest.raises(error, match=message):
        calibrate(net, samples, **options)


def test_a_number_of_shards_is_positive(net, samples, threads):
    with pytest.raises(QuantError, match="`shards` must be a whole number above 0"):
        calibrate(net, samples, executor=threads, shards=0)


def test_a_stream_cannot_be_shared(net, samples, threads):
    with pytest.raises(QuantError, match=r"a file, a folder or a list, .* a stream"):
        calibrate(net, iter(samples), executor=threads)


def test_no_sample_is_an_error(net, threads):
    with pytest.raises(QuantError, match="at least one sample; it has none"):
        calibrate(net, [], executor=threads)
