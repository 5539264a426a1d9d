"""One part of the samples on each machine, and what is kept of a part."""

from pathlib import Path

import numpy as np
import pytest

from qcore import FileFormatError, QuantError, ShardError, merge_files, save
from qcore.adapters.onnx import calibrate, calibrate_shard
from qcore.adapters.onnx.sharding import checkpoint


@pytest.mark.parametrize("of", [1, 3, 20])
def test_merged_shards_are_the_statistics_of_one_process(
    net, samples, equal, tmp_path: Path, of: int
):
    paths = [tmp_path / f"{n}" for n in range(of)]
    for number, path in enumerate(paths, 1):
        states, shards = calibrate_shard(net, samples, (number, of), bins=64)
        save(path, states, shards=shards)
    merged, shards = merge_files(paths)
    equal(merged, calibrate(net, samples, bins=64))
    assert shards.numbers == tuple(range(1, of + 1))


def test_the_limit_is_that_of_all_shards(net, samples, equal):
    parts = [calibrate_shard(net, samples, (n, 2), samples=5)[0] for n in (1, 2)]
    whole = {name: state.merge(parts[1][name]) for name, state in parts[0].items()}
    equal(whole, calibrate(net, samples, samples=5))


@pytest.mark.parametrize(
    "options", [{"bins": 64}, {"samples": 9}, {"tensors": ["x"]}, {"exclude": ["gemm"]}]
)
def test_shards_of_other_options_are_of_another_run(net, samples, tmp_path, options):
    for number, own in ((1, {}), (2, options)):
        states, shards = calibrate_shard(net, samples, (number, 2), **own)
        save(tmp_path / f"{number}", states, shards=shards)
    with pytest.raises(ShardError, match="must be of one run"):
        merge_files([tmp_path / "1", tmp_path / "2"])


def test_shards_of_another_model_are_of_another_run(net, samples):
    _, before = calibrate_shard(net, samples, (1, 2))
    weight = net.graph.initializer[0]
    weight.raw_data = (np.frombuffer(weight.raw_data, np.float32) * 2).tobytes()
    _, after = calibrate_shard(net, samples, (1, 2))
    assert before.run != after.run


@pytest.mark.parametrize("shard", [(0, 2), (3, 2), (1.0, 2), (True, 2), 1, "12", None])
def test_a_shard_is_a_number_and_how_many(net, samples, shard):
    with pytest.raises(QuantError, match="`shard` must be a number from 1, and how"):
        calibrate_shard(net, samples, shard)


@pytest.fixture
def often(monkeypatch):
    """Write a checkpoint after every sample."""
    monkeypatch.setattr(checkpoint, "SHARE", float("inf"))


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize("kind", [list, iter])
def test_what_was_stopped_goes_on(net, samples, equal, tmp_path: Path, kind):
    bad = [*samples[:9], {"x": samples[0]["x"][0]}, *samples[10:]]
    with pytest.raises(QuantError, match="in sample 9"):
        calibrate(net, kind(bad), checkpoint=tmp_path / "done")
    followed = []

    def progress(given, total):
        assert total == (16 if kind is list else None)
        for item in given:
            followed.append(item[0])
            yield item

    options = {"checkpoint": tmp_path / "done", "progress": progress}
    equal(calibrate(net, kind(samples), **options), calibrate(net, samples))
    assert followed == list(range(16))


@pytest.mark.usefixtures("often")
def test_what_is_done_is_not_counted_again(net, samples, equal, tmp_path: Path):
    expected = calibrate(net, samples)
    for _ in range(2):
        equal(calibrate(net, samples, checkpoint=tmp_path / "done"), expected)


@pytest.mark.usefixtures("often")
def test_fewer_samples_than_are_done_are_refused(net, samples, tmp_path: Path):
    calibrate(net, iter(samples), checkpoint=tmp_path / "done")
    with pytest.raises(QuantError, match="`checkpoint` must be that of the same model"):
        calibrate(net, iter(samples[:9]), checkpoint=tmp_path / "done")


def test_a_damaged_checkpoint_is_told(net, samples, tmp_path: Path):
    calibrate(net, samples, checkpoint=tmp_path / "done")
    (path,) = (tmp_path / "done").iterdir()
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(FileFormatError, match="must be a file of a checkpoint"):
        calibrate(net, samples, checkpoint=tmp_path / "done")


def test_a_checkpoint_is_a_folder(net, samples, tmp_path: Path):
    tmp_path.joinpath("file").touch()
    with pytest.raises(QuantError, match="`checkpoint` must be a folder"):
        calibrate(net, samples, checkpoint=tmp_path / "file")
