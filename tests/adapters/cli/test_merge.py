"""Parts of a calibration on many machines, and what merging makes of them."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import qcore as core


@pytest.fixture
def shards(qcore, model: Path, data: Path, tmp_path: Path) -> list[Path]:
    """Three parts of eight samples."""
    paths = [tmp_path / f"{n}.safetensors" for n in (1, 2, 3)]
    for number, path in enumerate(paths, 1):
        part = f"{number}/3"
        qcore("calibrate", model, "--data", data, "-q", "--shard", part, "-o", path)
    return paths


def test_merged_shards_are_the_statistics_of_one_process(
    qcore, model: Path, data: Path, shards, tmp_path: Path, equal: Callable[..., None]
) -> None:
    output, whole = tmp_path / "out", tmp_path / "whole"
    code, out, err = qcore("merge", *reversed(shards), "-o", output)
    assert (code, err) == (0, "")
    assert out.startswith(f"{output}: 10 tensors of shards 1-3 of 3; ")
    qcore("calibrate", model, "--data", data, "-o", whole)
    equal(core.load(output), core.load(whole))


def test_what_was_written_is_told_to_programs(qcore, shards, tmp_path: Path) -> None:
    output = tmp_path / "out"
    code, out, _ = qcore("merge", *shards[1:], "--partial", "--json", "-o", output)
    told = {"output": str(output), "tensors": 10, "bytes": output.stat().st_size}
    assert (code, json.loads(out)) == (0, {**told, "shards": [2, 3], "of": 3})


def test_a_missing_shard_is_named_unless_the_rest_is_to_come(
    qcore, shards, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    code, _, err = qcore("merge", *shards[:2], "-o", output)
    assert (code, output.exists()) == (2, False)
    assert "missing: shard 3/3." in err
    code, out, _ = qcore("merge", *shards[:2], "-o", output, "--partial")
    assert code == 0
    assert out.endswith("Not in it yet: shard 3/3.\n")


def test_a_shard_given_twice_is_refused(qcore, shards, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.write_bytes(shards[1].read_bytes())
    code, _, err = qcore("merge", *shards, copy, "-o", tmp_path / "out")
    assert code == 2
    assert "shard 2/3 must be given once" in err


def test_shards_of_another_model_s_run_are_refused(
    qcore, model: Path, data: Path, shards, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    given = "calibrate", model, "--data", data, "--shard", "3/3", "--bins", 300
    qcore(*given, "-o", other)
    code, _, err = qcore("merge", *shards[:2], other, "-o", tmp_path / "out")
    assert code == 2
    assert f"{other}: shards must be of one run" in err


def test_a_shard_without_samples_counts_nothing_and_is_not_missing(
    qcore, model: Path, npz, digits: np.ndarray, tmp_path: Path
) -> None:
    data, paths = npz(image=digits[:1]), [tmp_path / "1", tmp_path / "2"]
    for number, path in enumerate(paths, 1):
        part = f"{number}/2"
        _, out, _ = qcore(
            "calibrate", model, "--data", data, "--shard", part, "-o", path
        )
        assert out.endswith(f"Samples in shard {part}: {number - 1}.\n")
    qcore("merge", *paths, "-o", tmp_path / "out")
    assert core.load(tmp_path / "out")["image"].max == digits[0].max()


def test_the_output_replaces_no_input(qcore, shards) -> None:
    code, _, err = qcore("merge", *shards, "-o", shards[0])
    assert code == 2
    assert "--output would replace its own input" in err


@pytest.mark.parametrize("shard", ["0/3", "4/3", "1", "1/2/3", "-1/3", "a/b"])
def test_a_shard_is_a_number_and_how_many(qcore, shard: str) -> None:
    code, _, err = qcore("calibrate", "m", f"--shard={shard}")
    assert code == 2
    assert f"must be I/N, from 1/N to N/N; got {shard!r}" in err


def test_a_stream_has_no_shards(
    qcore, model: Path, tmp_path: Path, monkeypatch
) -> None:
    tmp_path.joinpath("stream_in_shards.py").write_text(
        "def f(): yield 1\n", encoding="utf-8"
    )
    monkeypatch.chdir(tmp_path)
    given = "calibrate", model, "--reader", "stream_in_shards:f", "--shard", "1/2"
    code, _, err = qcore(*given, "-o", tmp_path / "out")
    assert code == 2
    assert "counted before they are read; got a stream" in err
