"""How far a calibration has come, in files: so it can be stopped and go on.

A folder holds one file of the statistics of all samples so far, or one for each part
that a worker has finished. Each says of which run it is; those of others are refused.
"""

import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from qcore.adapters.onnx.data.inputs import Feed, conform
from qcore.adapters.onnx.data.picking import Numbered
from qcore.adapters.onnx.digest import digest, of_feed
from qcore.adapters.onnx.folding import States
from qcore.adapters.onnx.recovery.checkpoint import find_folder
from qcore.adapters.onnx.sharding.run import Part, Run, shards_of
from qcore.errors import QuantError
from qcore.files import VERSION, from_arrays, read_arrays, save, to_arrays, write_arrays
from qcore.shards import Shards
from qcore.statistics import Statistics

SO_FAR = "calibration.safetensors"
SHARD = "calibrated-{:05d}-of-{:05d}.safetensors"

SHARE = 1 / 20
"""Of the time that is spent on writing, at most."""


def calibration_folder(path: object, /) -> Path | None:
    """
    Return a folder that can be written to, made if need be, if there is to be one.

    Raises
    ------
    TypeError, QuantError
        If the path is none, or that of a file, or lies in no folder.
    """
    folder = find_folder(path, "full")
    if folder is not None:
        folder.mkdir(exist_ok=True)
    return folder


class FoldedSamples:
    """
    The statistics of the samples so far.

    Parameters
    ----------
    folder : path
        Where they are kept.
    run : Run
        What they are of.

    Attributes
    ----------
    done : int
        How many samples are in the statistics.
    states : dict or None
        The statistics, if there are any yet.

    Raises
    ------
    QuantError
        If they are of another run, or the file is damaged.
    """

    def __init__(self, folder: Path, run: Run) -> None:
        self.path, self.run = folder / SO_FAR, run
        self.done, self.last = 0, ""
        self.states: States | None = None
        self.next = 0.0
        if self.path.exists():
            with read_arrays(self.path, "a checkpoint") as (arrays, header):
                _check(header["run"] == self._mark(), folder)
                self.done, self.last = int(header["done"]), str(header["last"])
                self.states = from_arrays(arrays, header["states"])

    def check(self, sample: Numbered | None) -> None:
        """Refuse other samples than those that were folded; this one was the last."""
        found = ""
        if sample is not None:
            number, feed = sample
            feed = conform(feed, self.run.inputs, f"in sample {number}")
            found = digest(of_feed(feed))
        _check(found == self.last, self.path.parent)

    def folded(self, states: Mapping[str, Statistics], feed: Feed) -> None:
        """Count one more sample, and write all if that has not just been done."""
        self.done += 1
        start = time.monotonic()
        if start < self.next:
            return
        arrays, described = to_arrays(states)
        header = {
            "version": VERSION,
            "states": described,
            "run": self._mark(),
            "done": self.done,
            "last": digest(of_feed(feed)),
        }
        write_arrays(self.path, arrays, header)
        end = time.monotonic()
        self.next = end + (end - start) / SHARE

    def _mark(self) -> list[Any]:
        return [self.run.digest, *self.run.part.shard]


class FinishedShards:
    """
    The parts that workers have finished.

    Parameters
    ----------
    folder : path
        Where their statistics are kept.
    run : Run
        What they are parts of.
    """

    def __init__(self, folder: Path, run: Run) -> None:
        self.folder, self.run = folder, run

    def get(self, part: Part) -> States | None:
        """
        Return the statistics of a part, if it was finished.

        Raises
        ------
        QuantError
            If they are of another run, or the file is damaged.
        """
        path = self._path(part)
        if not path.exists():
            return None
        with read_arrays(path, "a checkpoint") as (arrays, header):
            _check(Shards.of_json(header["shards"]) == self._shards(part), self.folder)
            return from_arrays(arrays, header["states"])

    def put(self, part: Part, states: States) -> None:
        """Keep the statistics of a part."""
        save(self._path(part), states, shards=self._shards(part))

    def _path(self, part: Part) -> Path:
        return self.folder / SHARD.format(*part.shard)

    def _shards(self, part: Part) -> Shards:
        return shards_of(self.run, part)


def remove_calibration(folder: Path, /) -> None:
    """Remove the files of a checkpoint, and the folder if nothing else is in it."""
    files = SHARD.replace("{:05d}", "*")
    for name in (SO_FAR, files):
        for pattern in (name, f".{name}.*.part"):  # what was cut short
            for path in folder.glob(pattern):
                path.unlink()
    with suppress(OSError):
        folder.rmdir()


def _check(is_same: bool, folder: Path) -> None:
    if not is_same:
        raise QuantError(
            "`checkpoint` must be that of the same model, data, options and versions; "
            f"{str(folder)!r} is of others: remove it, or name another folder."
        )
