"""What runs on a CUDA device, as shares of the bandwidth measured in the same run.

Of each contender the seconds that a call takes when many are asked for in a row. Sizes
in GiB; `QCORE_BENCH_GIB` asks for less than 1 of a device with little memory.
"""

import os
import time
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from gpu_launches import rounding_launches, tally_launches
from gpu_timing import BINS, Row, Run, bandwidths, share, timed
from record import record

import qcore

GIB = float(os.environ.get("QCORE_BENCH_GIB", "1"))
N = int(GIB * 2**28)
"""Of float32."""
CHANNELS = 4096
OBSERVED = N // 4
"""Elements that each method observes, as many as the CPU has time for."""
BARS = {"entropy": 50, "mse": 20}
"""Milliseconds for `CHANNELS` channels of `BINS` bins."""


def main() -> None:
    """Time all and write the tables; a contender that fails has its error there."""
    if not torch.cuda.is_available():
        print("PyTorch sees no CUDA device; nothing was measured.")
        return
    name = torch.cuda.get_device_name()
    normal = torch.randn(N, device="cuda")
    limits = bandwidths(normal)
    rows = [{"device": name, "what": w, "GB/s": b} for w, b in limits.items()]
    for part in (
        histograms,
        channel_histograms,
        tally_launches,
        roundings,
        rounding_launches,
        searches,
        jax_histograms,
    ):
        start = time.perf_counter()
        rows += list(part(normal, limits))
        print(f"{part.__name__}: {time.perf_counter() - start:.1f} s", flush=True)
    record("gpu", rows)
    record("gpu_observers", list(observers()))


def histograms(normal: torch.Tensor, limits: dict[str, float]) -> Iterator[Row]:
    """Range and histogram of one tensor, first and steady state, beside the peers."""
    for data, x in {"normal": normal, "relu": normal.relu()}.items():
        state = qcore.Histogram.of(x, bins=BINS)
        contenders: dict[str, Run] = {
            "qcore, torch: update": lambda x=x, state=state: state.update(x),
            "qcore, torch: of": lambda x=x: qcore.Histogram.of(x, bins=BINS),
            "torch.histc": lambda x=x: torch.histc(x, BINS),
            "torch.aminmax": lambda x=x: torch.aminmax(x),
        }
        if find_spec("cupy"):
            contenders |= _cupy_histograms(x)
        for what, run in contenders.items():
            yield share(what, run, 4 * x.numel(), limits["read"], data=data, bar=0.5)
    half = normal.to(torch.bfloat16)
    state = qcore.Histogram.of(half, bins=BINS)
    yield share(
        "qcore, torch: update, bfloat16",
        lambda: state.update(half),
        2 * half.numel(),
        limits["read"],
        data="normal",
    )


def _cupy_histograms(x: torch.Tensor) -> dict[str, Run]:
    import cupy  # noqa: PLC0415 - where it is installed

    array = cupy.from_dlpack(x)
    state = qcore.Histogram.of(array, bins=BINS)
    return {
        "qcore, cupy: update": lambda: state.update(array),
        "cupy.histogram": lambda: cupy.histogram(array, BINS),
    }


def channel_histograms(normal: torch.Tensor, limits: dict[str, float]) -> Iterator[Row]:
    """A histogram for each of many rows, long and short."""
    for columns in (65536, 256):
        x = normal[: CHANNELS * columns].reshape(-1, columns)
        by_row = qcore.PerChannel(0)
        state = qcore.Histogram.of(x, bins=BINS, granularity=by_row)
        yield share(
            f"qcore, torch: update, {x.shape[0]} x {columns}",
            lambda x=x, state=state: state.update(x),
            4 * x.numel(),
            limits["read"],
            data="normal",
            bar=0.5 if columns == 65536 else None,
        )


def roundings(normal: torch.Tensor, limits: dict[str, float]) -> Iterator[Row]:
    """Fake quantization, forward and backward, beside the operators of torch."""
    scale, zero = torch.tensor(0.02).cuda(), torch.tensor(0, dtype=torch.int32).cuda()
    rows = normal.reshape(CHANNELS, -1)
    each = qcore.QuantSpec("int8", granularity=qcore.PerChannel(0))
    by_row = qcore.qparams_from_amax(rows.abs().amax(dim=1, keepdim=True), each)
    one = qcore.QParams(scale, zero, qcore.QuantSpec("int8"))
    float8 = qcore.QParams(scale, zero, qcore.QuantSpec("float8_e4m3fn"))
    half = normal.to(torch.bfloat16)
    cases = {
        "fake_quantize, int8": (normal, one),
        "fake_quantize, int8, rows": (rows, by_row),
        "fake_quantize, float8_e4m3fn": (normal, float8),
        "fake_quantize, int8, bfloat16": (half, one),
    }
    for what, (x, qparams) in cases.items():
        yield share(
            f"qcore, torch: {what}",
            lambda x=x, qparams=qparams: qcore.fake_quantize(x, qparams),
            2 * x.numel() * x.element_size(),
            limits["copy"],
            bar=0.85,
        )
    yield share(
        "qcore, torch: quantize, int8",
        lambda: qcore.quantize(normal, one),
        5 * normal.numel(),
        limits["copy"],
    )
    gradient = torch.randn_like(normal)
    for what, (x, qparams) in list(cases.items())[:2]:
        g = gradient.reshape(x.shape)
        yield share(
            f"qcore, torch: straight_through, {what}",
            lambda g=g, x=x, qparams=qparams: qcore.straight_through(g, x, qparams),
            12 * x.numel(),
            limits["copy"],
            bar=0.8,
        )
    op = torch.fake_quantize_per_tensor_affine
    yield share(
        "torch.fake_quantize_per_tensor_affine",
        lambda: op(normal, 0.02, 0, -127, 127),
        8 * normal.numel(),
        limits["copy"],
    )
    op = torch.fake_quantize_per_channel_affine
    args = by_row.scale[:, 0], by_row.zero_point[:, 0], 0, -127, 127
    yield share(
        "torch.fake_quantize_per_channel_affine",
        lambda: op(rows, *args),
        8 * normal.numel(),
        limits["copy"],
    )
    if find_spec("cupy"):
        import cupy  # noqa: PLC0415

        x = cupy.from_dlpack(normal)
        on_cupy = map(cupy.from_dlpack, (scale, zero))
        qparams = qcore.QParams(*on_cupy, one.spec)
        yield share(
            "qcore, cupy: fake_quantize, int8",
            lambda: qcore.fake_quantize(x, qparams),
            8 * normal.numel(),
            limits["copy"],
            bar=0.85,
        )


def searches(normal: torch.Tensor, _: dict[str, float]) -> Iterator[Row]:
    """The methods for thousands of channels at once."""
    x = normal[: CHANNELS * 16384].reshape(CHANNELS, -1)
    each = qcore.PerChannel(0)
    state = qcore.Histogram.of(x, bins=BINS, granularity=each)
    for method in ("entropy", "mse", "percentile"):
        for symmetric in (True, False):
            spec = qcore.QuantSpec("int8", symmetric=symmetric)

            def run(method: str = method, spec: qcore.QuantSpec = spec) -> object:
                return qcore.compute_range(state, spec, method)

            row: Row = {"what": f"{method}, {CHANNELS} x {BINS}"}
            row["data"] = "symmetric" if symmetric else "asymmetric"
            yield row | timed(run, rounds=3, calls=1) | {"bar ms": BARS.get(method)}


def jax_histograms(normal: torch.Tensor, limits: dict[str, float]) -> Iterator[Row]:
    """JAX on the same device: eager, compiled, and its own histogram."""
    if not find_spec("jax"):
        return
    import jax  # noqa: PLC0415
    import jax.numpy as jnp  # noqa: PLC0415

    if jax.default_backend() != "gpu":
        yield {"what": "JAX", "error": "JAX sees no CUDA device"}
        return
    x = jax.dlpack.from_dlpack(normal)
    state = qcore.Histogram.of(x, bins=BINS)
    update = jax.jit(lambda h, x: h.update(x))
    own = jax.jit(lambda x: jnp.histogram(x, BINS))
    contenders: dict[str, Run] = {
        "qcore, jax: update": lambda: state.update(x),
        "qcore, jax.jit: update": lambda: update(state, x),
        "jnp.histogram, jit": lambda: own(x),
    }
    for what, run in contenders.items():
        yield share(
            what,
            lambda run=run: jax.block_until_ready(run()),
            4 * normal.numel(),
            limits["read"],
            data="normal",
            bar=0.25,
        )


def observers() -> Iterator[Row]:
    """Statistics and method of one tensor: a CUDA device beside this CPU."""
    x = np.random.default_rng(0).standard_normal(OBSERVED, dtype=np.float32)
    y = torch.from_numpy(x).cuda()
    for method, kind in {
        "minmax": qcore.Range,
        "percentile": qcore.Histogram,
        "entropy": qcore.Histogram,
        "mse": qcore.Histogram,
        "isotone": qcore.Top2,
    }.items():

        def observe(x: Any, kind: Any = kind, method: str = method) -> object:
            return qcore.calibrate(kind.of(x), qcore.QuantSpec(), method)

        a, b = x, y
        if kind is qcore.Top2:
            a, b = x.reshape(-1, 1024), y.reshape(-1, 1024)
        cpu = timed(lambda a=a, observe=observe: observe(a), rounds=1, calls=1)
        gpu = timed(lambda b=b, observe=observe: observe(b), rounds=3, calls=3)
        row = {"what": method, "CPU ms": cpu.get("ms"), "CUDA ms": gpu.get("ms")}
        row |= {k: v for part in (cpu, gpu) for k, v in part.items() if k == "error"}
        if row["CPU ms"] and row["CUDA ms"]:
            row |= {"CPU / CUDA": row["CPU ms"] / row["CUDA ms"], "bar": 10}
        yield row


if __name__ == "__main__":
    main()
