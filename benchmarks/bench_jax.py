"""What the transforms of the JAX adapter cost: MobileNet beside itself, untransformed.

All are compiled. Each row is timed in turns with the plain forward, best of several.
"""

import sys
from collections.abc import Callable
from time import perf_counter
from typing import Any

import jax
import numpy as np
from mobilenet_jax import mobilenet, read_params
from public_models import MOBILENET
from record import record

from qcore.adapters.jax import calibrate, collect, fake_quant

ROUNDS = 15
BATCHES = (1, 8)
RANGES = {"activation": {"symmetric": False, "method": "minmax", "statistics": "range"}}


def best(*functions: Callable[[], object]) -> list[float]:
    """Return the least seconds a call of each function, timed in turns."""
    times = [float("inf")] * len(functions)
    for _ in range(ROUNDS):
        for i, function in enumerate(functions):
            begin = perf_counter()
            jax.block_until_ready(function())
            times[i] = min(times[i], perf_counter() - begin)
    return times


def compiled(f: Callable[..., Any], *args: Any) -> tuple[Callable[..., Any], float]:
    """Return a function compiled for arguments, and how long that took."""
    begin = perf_counter()
    found = jax.jit(f).lower(*args).compile()
    return found, perf_counter() - begin


def rows_of(batch: int) -> list[dict[str, Any]]:
    """Return rows of seconds for a batch of pictures."""
    params = read_params(str(MOBILENET.path))
    shape = (batch, 3, 224, 224)
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    plain, plain_seconds = compiled(mobilenet, params, x)
    _, seen = jax.jit(collect(mobilenet))(None, params, x)
    begin = perf_counter()
    qparams = calibrate(mobilenet, None, seen)(params, x)
    chosen = perf_counter() - begin
    _, ranges = jax.jit(collect(mobilenet, RANGES))(None, params, x)
    transformed = {
        "fake_quant": (fake_quant(mobilenet, None, qparams), ()),
        "collect histograms": (collect(mobilenet), (seen,)),
        "collect ranges": (collect(mobilenet, RANGES), (ranges,)),
    }
    rows = []
    for what, (f, held) in transformed.items():
        found, seconds = compiled(f, *held, params, x)
        ours, theirs = best(
            lambda: found(*held, params, x),  # noqa: B023 - called here
            lambda: plain(params, x),
        )
        rows.append(
            {
                "what": what,
                "batch": batch,
                "ms": ours * 1e3,
                "plain ms": theirs * 1e3,
                "times the plain": ours / theirs,
                "to compile s": seconds,
                "plain to compile s": plain_seconds,
            }
        )
    rows.append({"what": "calibrate, mse", "batch": batch, "ms": chosen * 1e3})
    return rows


def main() -> None:
    """Print all rows, and keep them."""
    if not MOBILENET.path.exists():
        print("QCORE_MODELS must name a folder with mobilenet_v1_075")
        return
    record("jax", [row for batch in BATCHES for row in rows_of(batch)])


if __name__ == "__main__":
    sys.exit(main())
