"""Range and histogram in one call beside the histograms of numpy, torch and JAX."""

import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import torch
from record import record

import qcore

N = 1 << 24
ROUNDS = 5


def main() -> None:
    """Time all on the same data and print medians and ratios."""
    rng = np.random.default_rng(0)
    normal = rng.standard_normal(N, dtype=np.float32)
    rows = []
    for name, x in {"normal": normal, "relu": np.maximum(normal, 0)}.items():
        contenders = {
            "qcore, numpy": lambda x=x: qcore.Histogram.of(x),
            "np.histogram": lambda x=x: np.histogram(x, 2048),
            "torch.histc": lambda x=x: torch.histc(torch.from_numpy(x).abs(), 2048),
            "jnp.histogram, jit": _jax_histogram(x),
        }
        seconds = _medians(contenders)
        rows += [
            {
                "data": name,
                "what": what,
                "ns/element": seconds[what] * 1e9 / N,
                "x np.histogram": seconds[what] / seconds["np.histogram"],
            }
            for what in contenders
        ]
    record("histogram", rows)


def _jax_histogram(x: np.ndarray) -> Callable[[], object]:
    histogram = jax.jit(lambda x: jnp.histogram(x, 2048))
    array = jnp.asarray(x)
    histogram(array)
    return lambda: jax.block_until_ready(histogram(array))


def _medians(contenders: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Return the median seconds of each, after a first run that only warms up.

    One after the other: the idle threads of one library spin and would slow the next.
    """
    medians = {}
    for what, run in contenders.items():
        times = []
        for _ in range(ROUNDS + 1):
            start = time.perf_counter()
            run()
            times.append(time.perf_counter() - start)
        medians[what] = float(np.median(times[1:]))
    return medians


if __name__ == "__main__":
    main()
