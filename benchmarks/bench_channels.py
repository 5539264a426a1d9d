"""The searches for thousands of channels at once: time, memory, and how they grow.

numpy beside JAX, which is compiled before it is timed. Each job has a process of its
own, so that its memory is its own. The growth is the slope of a straight line through
the logarithms of cost and size: 1 is proportional.
"""

import ctypes
import gc
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from record import record

import qcore

SAMPLES = 1 << 18
"""Of a channel, so many that its slots are all in use."""
DISTINCT = 64
"""Channels that have samples of their own; more repeat them."""
BINS = 2048
CHANNELS = (256, 512, 1024, 2048, 4096)
BARS = {"entropy": 20, "mse": 40}
"""Seconds for the most channels, on numpy."""
MEMORY_BAR = 1000
"""MB above the state."""
SLOTS = (1024, 2048, 4096, 8192, 16384)
BITS = (4, 5, 6, 7, 8)
ROUNDS = 3

Row = dict[str, Any]


def main() -> None:
    """Run all jobs, one after the other."""
    rows = []
    for method, bar in BARS.items():
        seconds = []
        for channels in CHANNELS:
            ours = _in_a_process("numpy", method, channels)
            other = _in_a_process("jax", method, channels)
            row = {"method": method, "channels": channels, "s": ours["seconds"]}
            if channels == CHANNELS[-1]:
                row |= {"s, at most": bar, "MB, at most": MEMORY_BAR}
            row |= {"MB above the state": ours["megabytes"], "JAX s": other["seconds"]}
            row["JAX / numpy"] = row["JAX s"] / row["s"]
            row["JAX MB"] = other["megabytes"]
            row["same ranges"] = ours["ranges"] == other["ranges"]
            rows.append(row)
            seconds.append(ours["seconds"])
        rows.append(_growth(method, "channels", CHANNELS, seconds))
        rows += _growth_in_slots(method)
    record("channels", rows)


def _growth_in_slots(method: str) -> list[Row]:
    """Return the exponents in slots alone, and in slots times levels."""
    of_slots, products, of_both = [], [], []
    x = _data()
    for slots in SLOTS:
        h = _histogram(x, slots // 2)
        for bits in BITS:
            of_both.append(_seconds(h, qcore.QuantSpec(f"int{bits}"), method))
            products.append(slots * 2**bits)
        of_slots.append(of_both[-1])
    return [
        _growth(method, "slots", SLOTS, of_slots),
        _growth(method, "slots x levels", products, of_both),
    ]


def _growth(method: str, what: str, sizes: Any, seconds: list[float]) -> Row:
    slope = np.polyfit(np.log(sizes), np.log(seconds), 1)[0]
    return {"method": method, "grows with": what, "exponent": float(slope)}


def _seconds(h: qcore.Histogram, spec: qcore.QuantSpec, method: str) -> float:
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        qcore.compute_range(h, spec, method)
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def _data() -> np.ndarray:
    """Return gaussian rows whose largest magnitudes lie in the last slot."""
    shape = DISTINCT, SAMPLES
    x = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    return x * (np.float32(3.9999) / np.abs(x).max(axis=1, keepdims=True))


def _histogram(x: np.ndarray, bins: int) -> qcore.Histogram:
    return qcore.Histogram.of(x, bins=bins, granularity=qcore.PerChannel(0))


def _in_a_process(library: str, method: str, channels: int) -> Row:
    job = [sys.executable, __file__, library, method, str(channels)]
    done = subprocess.run(job, stdout=subprocess.PIPE, text=True, check=True)
    measured: Row = json.loads(done.stdout)
    return measured


def run(library: str, method: str, channels: str) -> None:
    """Do one job and print what it took; JAX's memory holds that of compiling."""
    h = qcore.stack([_histogram(_data(), BINS)] * (int(channels) // DISTINCT))

    def search(h: qcore.Histogram) -> Any:
        return qcore.compute_range(h, qcore.QuantSpec("int8"), method)

    if library == "jax":
        h = jax.block_until_ready(h.to(jnp))
    before = _forget_peak()
    if library == "jax":
        search = jax.jit(search).lower(h).compile()
    start = time.perf_counter()
    ends = jax.block_until_ready(search(h))
    seconds = time.perf_counter() - start
    megabytes = _memory("VmHWM") - before
    ranges = np.stack([np.asarray(end) for end in ends]).tobytes().hex()
    print(json.dumps({"seconds": seconds, "megabytes": megabytes, "ranges": ranges}))


def _forget_peak() -> float:
    """Return the megabytes in use and begin a new peak with them, which Linux can.

    What waits to be collected, or the allocator keeps, would hide as much of the peak.
    """
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
    return _memory("VmRSS")


def _memory(name: str) -> float:
    if sys.platform != "linux":
        return float("nan")
    text = Path("/proc/self/status").read_text()
    return next(int(x.split()[1]) / 1e3 for x in text.splitlines() if name in x)


if __name__ == "__main__":
    run(*sys.argv[1:]) if sys.argv[1:] else main()
