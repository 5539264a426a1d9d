"""The squared error of the ranges that methods choose, over the least possible one.

Both are errors of the samples themselves, in float64, with the scale and zero point
that were chosen, or that a brute force found. The bar is for the methods that look for
the least error; what others look for need not be near it.
"""

from typing import Any

import numpy as np
from least_error import (
    DATA,
    OCTAVES,
    Candidate,
    Samples,
    least_asymmetric,
    least_symmetric,
)
from record import record

import qcore

METHODS = ("mse", "auto", "entropy", "percentile", "minmax", "ifmr", "hfmg")
BAR = 1.002
N = 1 << 20
N_16_BIT = 1 << 22
"""The relative noise of a true error is sqrt(0.8 / N); it must be well below the bar,
and where codes are fine the brute force chooses the luckiest noise of many."""

SYMMETRIC = (
    "int4",
    "int8",
    "int16",
    "uint8",
    "float8_e4m3fn",
    "float8_e5m2",
    "float4_e2m1fn",
)
ASYMMETRIC = ("uint4", "uint8", "uint16")
SPECS = [
    *(qcore.QuantSpec(name) for name in SYMMETRIC),
    *(qcore.QuantSpec(name, symmetric=False) for name in ASYMMETRIC),
]
PER_CHANNEL = ("int8", "float8_e4m3fn", "uint8")


def main() -> None:
    """Judge all methods on all data per tensor, and on all data at once per channel."""
    rng = np.random.default_rng(0)
    data = {name: draw(rng, N_16_BIT) for name, draw in DATA.items()}
    rows: list[dict[str, Any]] = []
    least: dict[tuple[str, qcore.QuantSpec], Candidate] = {}
    samples = {}
    for name, x in data.items():
        samples[name] = Samples(x[:N])
        all_samples = Samples(x)
        histograms = {n: qcore.Histogram.of(x[:n]) for n in (N, N_16_BIT)}
        for spec in SPECS:
            if _is_unsigned(spec) and samples[name].low < 0:
                continue
            n = N_16_BIT if spec.format.bits == 16 else N
            judged = samples[name] if n == N else all_samples
            best = least[name, spec] = _least(judged, spec)
            ratios = {
                method: _error(judged, qcore.calibrate(histograms[n], spec, method))
                / best.error
                for method in METHODS
            }
            rows.append(_row(name, spec, ratios))
    del all_samples

    stacked = np.stack([x[:N] for x in data.values()])
    histogram = qcore.Histogram.of(stacked, granularity=qcore.PerChannel(0))
    for spec in SPECS:
        if spec.format.name not in PER_CHANNEL or _is_unsigned(spec):
            continue
        ratios = {}
        for method in METHODS:
            qparams = qcore.calibrate(histogram, spec, method)
            ratios[method] = max(
                _error(samples[name], qparams, channel) / least[name, spec].error
                for channel, name in enumerate(data)
            )
        rows.append(_row(f"worst of {len(data)} channels", spec, ratios))
    record("quality", [*rows, _worst(rows)])


def _is_unsigned(spec: qcore.QuantSpec) -> bool:
    """Return whether negative values would saturate, which no range can help."""
    return spec.symmetric and not spec.format.signed


def _codes(spec: qcore.QuantSpec) -> np.ndarray:
    """Return the numbers that codes stand for with scale 1, ascending."""
    if isinstance(spec.format, qcore.FloatFormat):
        values = np.array(spec.format.values)
        return np.unique(values[np.isfinite(values)])  # one zero of the two
    return np.arange(spec.format.qmin, spec.format.qmax + 1, dtype=np.float64)


def _least(samples: Samples, spec: qcore.QuantSpec) -> Candidate:
    codes = _codes(spec)
    if not spec.symmetric:
        return least_asymmetric(samples, codes)
    if isinstance(spec.format, qcore.IntFormat):
        return least_symmetric(samples, codes, spec.format.max)
    return least_symmetric(samples, codes, spec.format.max, reach=OCTAVES)


def _error(samples: Samples, qparams: qcore.QParams, channel: int = 0) -> float:
    scale = float(qparams.scale.ravel()[channel])
    zero_point = float(qparams.zero_point.ravel()[channel])
    return samples.error(_codes(qparams.spec), scale, zero_point)


def _row(data: str, spec: qcore.QuantSpec, ratios: dict[str, float]) -> dict[str, Any]:
    kind = "symmetric" if spec.symmetric else "asymmetric"
    return {"data": data, "format": spec.format.name, "range": kind, **_judged(ratios)}


def _worst(rows: list[dict[str, Any]]) -> dict[str, Any]:
    ratios = {method: max(row[method] for row in rows) for method in METHODS}
    return {"data": "worst of all", "format": "", "range": "", **_judged(ratios)}


def _judged(ratios: dict[str, float]) -> dict[str, Any]:
    reached = {f"{m} <= {BAR}": ratios[m] <= BAR for m in ("mse", "auto")}
    return {**{m: round(ratio, 5) for m, ratio in ratios.items()}, **reached}


if __name__ == "__main__":
    main()
