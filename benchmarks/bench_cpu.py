"""The compiled CPU kernels beside copies of the same memory and beside other libraries.

One thread and two. Peers that are not installed are left out. `--elements` and
`--channels` shrink the work to see that all of it runs.
"""

import argparse
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import numpy as np
from bench_search import slots_by_loops
from record import record

import qcore
from qcore import PerBlock, PerChannel, PerTensor, QuantSpec
from qcore.backends.numba import counting, gradient, rounding, threads

ELEMENTS = 1 << 24
CHANNELS = 4096
COLUMNS = 64
"""Channels that counts and scales are of."""
BINS = 2048
ROUNDS = 15
SLOTS = 4096
STEP = np.float32(0.03)

BARS = {
    "fake-quantize int8 into": "1.3 x np.copyto",
    "fake-quantize int8": "2 x np.copy",
    "tally": "1.2 ns",
    "tally, ReLU": "1.2 ns",
}

Row = dict[str, Any]
Run = Callable[[], object]


def main() -> None:
    """Time all on the same data, print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--elements", type=int, default=ELEMENTS)
    parser.add_argument("--channels", type=int, default=CHANNELS)
    wanted = parser.parse_args()
    rng = np.random.default_rng(0)
    x = rng.standard_normal(wanted.elements, dtype=np.float32)
    rows = []
    for number in (1, 2):
        with limited(number):
            for table in (_copies(x), _roundings(x), _counts(x), _peers(x, number)):
                rows += timed(table, number, x.size)
    _compare(rows)
    record("cpu", rows)
    found = [
        row
        for channels in (1, wanted.channels // 4, wanted.channels)
        for row in _searches(channels)
    ]
    record("cpu_searches", [*found, *_growths(found)])


@contextmanager
def limited(number: int) -> Iterator[None]:
    """Let the compiled kernels use so many threads."""
    before = threads.config.NUMBA_NUM_THREADS
    threads.config.NUMBA_NUM_THREADS = number
    yield
    threads.config.NUMBA_NUM_THREADS = before


def timed(table: dict[str, Run], number: int, elements: int) -> list[Row]:
    """Return a row for each, after a first run that compiles.

    In turns, so that what else the machine does meets all alike.
    """
    times: dict[str, list[float]] = {what: [] for what in table}
    for turn in range(ROUNDS + 1):
        for what, run in table.items():
            start = time.perf_counter()
            run()
            if turn:
                times[what].append(time.perf_counter() - start)
    return [
        {
            "what": what,
            "threads": number,
            "ns/element": float(np.median(seconds)) * 1e9 / elements,
        }
        for what, seconds in times.items()
    ]


def _copies(x: np.ndarray) -> dict[str, Run]:
    out = np.empty_like(x)
    return {"np.copyto": lambda: np.copyto(out, x), "np.copy": x.copy}


def _roundings(x: np.ndarray) -> dict[str, Run]:
    out, codes = np.empty_like(x), np.empty(x.shape, np.int8)
    fake, real = rounding.fake_quantize_data, rounding.quantize_data
    found: dict[str, Run] = {}
    for name in ("int8", "float8_e4m3fn"):
        args = x, np.asarray(STEP), np.asarray(np.int32(0)), QuantSpec(name)
        stored = codes.view(args[3].format.storage)
        found |= {
            f"fake-quantize {name} into": lambda a=args: fake(*a, out=out),
            f"fake-quantize {name}": lambda a=args: fake(*a),
            f"quantize {name} into": lambda a=args, s=stored: real(*a, out=s),
            f"quantize {name}": lambda a=args: real(*a),
            f"gradient {name}": lambda a=args: gradient.fake_quantize_gradient(x, *a),
        }
    rows, buffer = x.reshape(-1, COLUMNS), out.reshape(-1, COLUMNS)
    for granularity in (PerChannel(0), PerChannel(1), PerBlock(1, 16), PerBlock(1, 32)):
        spec = QuantSpec(granularity=granularity)
        shape = granularity.scale_shape(rows.shape)
        args = rows, np.full(shape, STEP), np.zeros(shape, np.int32), spec
        found[f"fake-quantize int8 {granularity} into"] = lambda a=args: (
            rounding.fake_quantize_data(*a, out=buffer)
        )
    return found


def _counts(x: np.ndarray) -> dict[str, Run]:
    relu = np.maximum(x, 0)
    channels = x.reshape(COLUMNS, -1)
    return {
        "tally": lambda: counting.tally(x[None], None, None, SLOTS, None),
        "tally, ReLU": lambda: counting.tally(relu[None], None, None, SLOTS, None),
        f"tally, {COLUMNS} channels": lambda: counting.tally(
            channels, None, None, SLOTS, None
        ),
    }


def _peers(x: np.ndarray, number: int) -> dict[str, Run]:
    """Return what others do; NumPy and JAX choose their threads themselves."""
    found: dict[str, Run] = {}
    if number == 1:
        found["np.histogram"] = lambda: np.histogram(x, BINS)
    if find_spec("torch"):
        import torch  # noqa: PLC0415

        torch.set_num_threads(number)
        tensor = torch.from_numpy(x)
        fake = torch.fake_quantize_per_tensor_affine
        found["torch.histc"] = lambda: torch.histc(tensor, BINS)
        found["torch.fake_quantize_per_tensor_affine"] = lambda: fake(
            tensor, float(STEP), 0, -128, 127
        )
    if find_spec("jax") and number == 1:
        import jax  # noqa: PLC0415

        array = jax.numpy.asarray(x)
        histogram = jax.jit(lambda x: jax.numpy.histogram(x, BINS))
        found["jnp.histogram, jit"] = lambda: jax.block_until_ready(histogram(array))
    return found


def _compare(rows: list[Row]) -> None:
    """Add the ratios to copies, of one thread each, in the same run."""
    copies = {
        row["what"]: row["ns/element"]
        for row in reversed(rows)
        if row["what"].startswith("np.copy")
    }
    for row in rows:
        for what, own in copies.items():
            row[f"x {what}"] = row["ns/element"] / own
        row["at most"] = BARS.get(row["what"], "")
    for row in rows:
        for other in rows:
            alike = row["threads"] == other["threads"]
            if alike and (row["what"], other["what"]) == ("tally", "torch.histc"):
                row["torch.histc / ours, at least 4"] = (
                    other["ns/element"] / row["ns/element"]
                )


def _searches(channels: int) -> list[Row]:
    """Time searches of one channel of all its slots, or of many."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((min(channels, COLUMNS), 1 << 18), dtype=np.float32)
    x *= np.float32(3.9999) / np.abs(x).max(axis=1, keepdims=True)
    granularity = PerTensor() if channels == 1 else PerChannel(0)
    h = qcore.Histogram.of(x, bins=BINS, granularity=granularity)
    if channels > len(x):
        h = _repeated(h, channels)
    rows = []
    loops = _seconds_of_loops(h) if channels == 1 else None
    for method in ("entropy", "mse"):
        for number in (1, 2):
            with limited(number):
                (row,) = timed(
                    {method: lambda m=method: qcore.compute_range(h, QuantSpec(), m)},
                    number,
                    1,
                )
            row["ms"] = row.pop("ns/element") / 1e6
            row["ms, at most"] = 2 if channels == 1 else channels / CHANNELS * 4000
            if loops is not None and method == "entropy":
                row["loops / ours, at least 1000"] = loops * 1e3 / row["ms"]
            rows.append({"channels": channels, "slots": h.counts.shape[2], **row})
    return rows


def _seconds_of_loops(h: qcore.Histogram) -> float:
    """Return what the search takes one slot and one candidate at a time."""
    start = time.perf_counter()
    slots_by_loops(h.counts[0].sum(axis=0).tolist(), 128)
    return time.perf_counter() - start


def _growths(rows: list[Row]) -> Iterator[Row]:
    """Yield how the time grows with the channels: exponent 1 is proportional."""
    for method in ("entropy", "mse"):
        few, many = (
            row
            for row in rows
            if row["what"] == method and row["threads"] == 1 and row["channels"] > 1
        )
        ratio = math.log(many["ms"] / few["ms"])
        exponent = ratio / math.log(many["channels"] / few["channels"])
        yield {"what": method, "exponent of the channels": exponent}


def _repeated(h: qcore.Histogram, channels: int) -> qcore.Histogram:
    """Return a histogram of more channels, which repeat those of another."""
    place = np.arange(channels) % h.channels
    arrays = {name: getattr(h, name)[place] for name in h.array_fields()}
    static = {name: getattr(h, name) for name in h.static_fields()}
    return qcore.Histogram(**arrays, **{**static, "extents": (channels, 1)})


if __name__ == "__main__":
    main()
