"""What it takes to merge the statistics of a thousand machines.

1,000 files of shards, of 10 distinct kinds, each with the histograms of 200 tensors:
half as after a ReLU, half around zero, of ranges that differ from shard to shard.
"""

import json
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from memory import peak_mb
from record import record

import qcore

SHARDS, TENSORS, DISTINCT = 1000, 200, 10
VALUES = 100_000
"""Of a tensor that a shard has seen."""
MERGED = "merged.safetensors"


def main() -> None:
    """Write the shards, merge them in a process of its own, and record what it took."""
    with TemporaryDirectory() as folder:
        paths = write(Path(folder))
        bytes_each = sum(path.stat().st_size for path in paths) / len(paths)
        job = [sys.executable, __file__, *map(str, paths)]
        done = subprocess.run(job, capture_output=True, text=True, check=True)
        merged = Path(folder, MERGED).stat().st_size
    row = {
        "shards": SHARDS,
        "tensors": TENSORS,
        "bytes_per_tensor": round(bytes_each / TENSORS),
        "merged_bytes_per_tensor": round(merged / TENSORS),
        "mb_per_shard": bytes_each / 1e6,
        **json.loads(done.stdout.splitlines()[-1]),
    }
    record("merge", [row])


def write(folder: Path) -> list[Path]:
    """Return the files of all shards."""
    rng = np.random.default_rng(0)
    states = [{f"t{n}": seen(rng, n) for n in range(TENSORS)} for _ in range(DISTINCT)]
    paths = [folder / f"{number}.safetensors" for number in range(1, SHARDS + 1)]
    for number, path in enumerate(paths, 1):
        shards = qcore.Shards("benchmark", SHARDS, (number,))
        qcore.save(path, states[number % DISTINCT], shards=shards)
    return paths


def seen(rng: np.random.Generator, number: int) -> qcore.Histogram:
    """Return what a shard knows of one tensor."""
    scale = np.float32(2.0 ** (number % 8) * rng.uniform(0.8, 1.25))
    values = rng.standard_normal(VALUES, np.float32) * scale
    return qcore.Histogram.of(np.maximum(values, 0) if number % 2 else values)


def merge(paths: list[str]) -> None:
    """Print what it takes to merge files: seconds on the clock and of the processor."""
    start, used = time.perf_counter(), time.process_time()
    states, shards = qcore.merge_files(paths)
    row: dict[str, Any] = {
        "wall_s": time.perf_counter() - start,
        "cpu_s": time.process_time() - used,
        "us_per_tensor": (time.process_time() - used) / len(paths) / TENSORS * 1e6,
        "peak_mb": peak_mb(),
    }
    assert shards is not None
    assert not shards.missing
    assert len(states) == TENSORS
    qcore.save(Path(paths[0]).with_name(MERGED), states, shards=shards)
    print(json.dumps(row))


if __name__ == "__main__":
    merge(sys.argv[1:]) if sys.argv[1:] else main()
