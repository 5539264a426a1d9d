"""The ranges that other toolkits choose for int8, how good they are, and their time.

Each toolkit runs in a process and an interpreter of its own, on one thread. Where the
environment variable ``QCORE_PEERS`` names a folder, ``<toolkit>/bin/python`` below it
is that interpreter; `nox -s peers` makes such a folder. Errors are those of the
samples, over the least possible one; ranges by divergence or percentile need not be
near it.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from least_error import DATA, Samples, least_symmetric
from peer_methods import TOOLKITS, WEIGHTS
from record import record

FOLDER = "QCORE_PEERS"
CODES = np.arange(-128.0, 128.0)
BATCHES, SIZE = 8, 1 << 20
CHANNELS, WIDTH = 4096, 4096
ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS")}

Row = dict[str, Any]


def main() -> None:
    """Give all toolkits the same data and judge what they return."""
    rng = np.random.default_rng(0)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data, least = {}, {}
        for what in ("gaussian", "laplace", "relu, outliers"):
            x = DATA[what](rng, BATCHES * SIZE)
            np.save(folder / f"{what}.npy", x.reshape(BATCHES, SIZE))
            data[what] = Samples(x)
            best = least[what] = least_symmetric(data[what], CODES, 127)
            row = {"data": what, "tool": "brute force", "amax": best.scale * 127}
            rows.append(row | {"MSE / least": 1.0})
        weights = rng.standard_normal((CHANNELS, WIDTH), dtype=np.float32)
        weights *= np.geomspace(0.01, 1, CHANNELS, dtype=np.float32)[:, None]
        np.save(folder / f"{WEIGHTS}.npy", weights)

        for toolkit in TOOLKITS:
            for row in _rows_of(toolkit, folder):
                if row["data"] == WEIGHTS:
                    rows.append(_per_channel(row, weights))
                    continue
                x, best = data[row["data"]], least[row["data"]]
                error = x.error(CODES, row["amax"] / 127, 0)
                seconds = {key: row.pop(key) for key in ("collect s", "compute s")}
                rows.append(row | {"MSE / least": error / best.error} | seconds)
    rows.sort(key=lambda row: row["data"])
    record("peers", rows)


def _rows_of(toolkit: str, folder: Path) -> list[Row]:
    """Return what a toolkit answers, or say in one line why it does not."""
    python = _interpreter(toolkit)
    if python is None:
        print(f"{toolkit}: no interpreter in ${FOLDER}, left out; see `nox -s peers`.")
        return []
    out = folder / f"{toolkit}.json"
    script = Path(__file__).with_name("peer_methods.py")
    done = subprocess.run(
        [python, "-W", "ignore", script, toolkit, folder, out],
        capture_output=True,
        env=os.environ | ONE_THREAD,
        text=True,
        check=False,
    )
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        print(f"{toolkit}: left out, since it failed: {said[-1]}")
        return []
    rows: list[Row] = json.loads(out.read_text())
    return rows


def _interpreter(toolkit: str) -> str | None:
    if toolkit == "qcore":
        return sys.executable
    python = Path(os.environ.get(FOLDER, "")) / toolkit / "bin" / "python"
    return str(python.absolute()) if FOLDER in os.environ and python.exists() else None


def _per_channel(row: Row, weights: np.ndarray) -> Row:
    """Return a row with time by the channel, and the error summed over 64 of them.

    A toolkit may have been given less than all channels; it takes them one by one.
    """
    amax, seconds = row.pop("amax"), row.pop("seconds")
    error = least = 0.0
    for channel in range(64):
        x = Samples(weights[channel])
        least += least_symmetric(x, CODES, 127).error
        error += x.error(CODES, amax[channel] / 127, 0)
    share = seconds / len(amax)
    return row | {
        "MSE / least": error / least,
        "channels": len(amax),
        "ms/channel": share * 1e3,
        f"s for {CHANNELS}": share * CHANNELS,
    }


if __name__ == "__main__":
    main()
