"""The searches on numpy alone, 4096 slots all in use, beside the loops they replace."""

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from record import record

import qcore

N = 1 << 18
ROUNDS = 61
SEARCHES = {
    "entropy, 128 levels": (qcore.QuantSpec("int8"), "entropy", 5),
    "entropy, 256 levels": (qcore.QuantSpec("uint8"), "entropy", 10),
    "mse, int8": (qcore.QuantSpec("int8"), "mse", 20),
    "mse, uint8": (qcore.QuantSpec("uint8"), "mse", 20),
    "mse, float8_e4m3fn": (qcore.QuantSpec("float8_e4m3fn"), "mse", 20),
    "mse, int8 asymmetric": (qcore.QuantSpec("int8", symmetric=False), "mse", 20),
    "ifmr, int8 asymmetric": (qcore.QuantSpec("int8", symmetric=False), "ifmr", 150),
    "hfmg, int8 asymmetric": (qcore.QuantSpec("int8", symmetric=False), "hfmg", 50),
    "percentile, int8": (qcore.QuantSpec("int8"), "percentile", 50),
    "floating, int8": (qcore.QuantSpec("int8"), "floating", 50),
    "auto, int8": (qcore.QuantSpec("int8"), "auto", 100),
    "auto, int8 asymmetric": (qcore.QuantSpec("int8", symmetric=False), "auto", 100),
}


def main() -> None:
    """Time every search, the entropy as loops too, in CPU time."""
    rows = []
    for what, (spec, method, bar) in SEARCHES.items():
        h = qcore.Histogram.of(_data(signed=spec.format.name != "uint8"))
        groups = 2 ** (8 - spec.format.signed)
        search = _search(h, spec, method)
        row = {"search": what, "ms": _milliseconds(search), "at most": bar}
        if method == "entropy":
            # All windows, as the loops have them; by default fewer are scored.
            search = _search(h, spec, method, start_bin=groups)
            row["all windows"] = _milliseconds(search)
            line = h.counts[0].sum(axis=0).tolist()
            start = time.process_time()
            slots = slots_by_loops(line, groups)
            row["loops, ms"] = (time.process_time() - start) * 1e3
            row["ratio"] = row["loops, ms"] / row["all windows"]
            amax = max(-h.min[0], h.max[0])
            window = min(np.float32(slots * h.width[0]), amax)
            row["same window"] = bool(search()[1][0] == window)
        rows.append(row)
    record("search", rows)


def slots_by_loops(h: list[int], groups: int) -> int:
    """Return the window of least divergence, one slot and one candidate at a time."""
    n = sum(h)
    best, chosen = math.inf, len(h)
    for i in range(groups, len(h) + 1):
        merged, filled = [0] * groups, [0] * groups
        for j in range(i):
            if h[j]:
                merged[j * groups // i] += h[j]
                filled[j * groups // i] += 1
        inside = sum(merged)
        total = 0.0
        for j in range(i):
            p = h[j] + (n - inside if j == i - 1 else 0)
            if p and not h[j]:
                total = math.inf
            elif p:
                k = j * groups // i
                total += p / n * math.log(p / n * inside * filled[k] / merged[k])
        if total <= best:
            best, chosen = total, i
    return chosen


def _data(*, signed: bool) -> np.ndarray:
    """Return samples whose largest magnitude lies in the last slot."""
    x = np.random.default_rng(0).standard_normal(N, dtype=np.float32)
    x = x if signed else np.abs(x)
    return x * (np.float32(3.9999) / np.abs(x).max())


def _search(
    h: qcore.Histogram, spec: qcore.QuantSpec, method: str, **options: int
) -> Any:
    return lambda: qcore.compute_range(h, spec, method, **options)


def _milliseconds(run: Callable[[], object]) -> float:
    times = []
    for _ in range(ROUNDS):
        start = time.process_time()
        run()
        times.append((time.process_time() - start) * 1e3)
    return float(np.median(times))


if __name__ == "__main__":
    main()
