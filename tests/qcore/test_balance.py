"""The floor of the entropy search: no more is lost to saturation than to rounding."""

from typing import Any

import numpy as np
import pytest

from qcore import Histogram, PerChannel, QuantSpec, compute_range
from qcore.libraries import arithmetic, namespace
from qcore.methods.balance import is_balanced

SPECS = {
    "int8": QuantSpec("int8"),
    "uint4": QuantSpec("uint4"),
    "asymmetric": QuantSpec("uint4", symmetric=False),
    "float": QuantSpec("float4_e2m1fn"),
}
SLOTS = 64
POINTS = 400
"""Each slot's values, taken evenly from it: the density as samples."""


def relu_with_outliers(n: int = 1 << 16) -> np.ndarray:
    rng = np.random.default_rng(0)
    x = np.maximum(rng.normal(size=n), 0)
    x[:: n // 8] = 40
    return x.astype(np.float32)


def counts_of(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    line = rng.poisson(400 * np.exp(-np.arange(SLOTS) / 6), (2, SLOTS))
    line[:, rng.integers(20, SLOTS, 4)] += 5
    return line.astype(np.int64)


def losses(counts: np.ndarray, reach: int, spec: QuantSpec) -> tuple[float, float]:
    """Return the squared errors beyond and inside a window, from points in slots."""
    inside = (np.arange(POINTS) + 0.5) / POINTS
    x = (np.arange(SLOTS)[:, None] + inside).ravel()
    negative, positive = (np.repeat(side / POINTS, POINTS) for side in counts)
    below = 0 if spec.format.name[0] == "u" and spec.symmetric else reach
    sides = (negative, below), (positive, reach)
    lost = sum(np.sum(h * np.maximum(x - end, 0) ** 2) for h, end in sides if end)
    held = sum(np.sum(h * (x < end)) for h, end in sides)
    if spec.format.name.startswith("float"):
        values = np.asarray(spec.format.magnitudes) * reach / spec.format.max
        nearest = np.abs(x[:, None] - values).min(axis=1)
        h = negative + positive
        return lost, float(np.sum(h * (x < reach) * nearest**2))
    codes = spec.format.qmax if spec.symmetric else spec.format.qmax - spec.format.qmin
    step = (reach if spec.symmetric else 2 * reach) / codes
    return lost, held * step**2 / 12


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_balanced_windows_are_those_of_a_sum_over_points(
    array: Any, to_numpy: Any, xp: Any, spec: QuantSpec
) -> None:
    counts = np.stack([counts_of(1), counts_of(2)])
    reach = np.arange(1, SLOTS + 1)
    above = array(reach.astype(np.float64)[None])
    unsigned = spec.symmetric and not spec.format.signed
    below = array(np.zeros((1, SLOTS))) if unsigned else above
    namespace(above, xp)  # loads what the library needs
    with arithmetic(xp):
        found = to_numpy(is_balanced(array(counts), below, above, spec, xp=xp))
    for row, channel in zip(found, counts, strict=True):
        lost, rounded = np.transpose([losses(channel, r, spec) for r in reach])
        clear = np.abs(lost - rounded) > 1e-4 * rounded
        assert np.array_equal(row[clear], (lost <= rounded)[clear])
        assert 0 < np.count_nonzero(row) < SLOTS


def test_outliers_beside_a_relu_are_not_all_cut_off() -> None:
    h, spec = Histogram.of(relu_with_outliers()), QuantSpec("int8")
    bare = compute_range(h, spec, "entropy", start_bin=128)[1][0]
    floored = compute_range(h, spec, "entropy")[1][0]
    least = compute_range(h, spec, "mse")[1][0]
    assert bare < 5 < least / 2 < floored


def test_the_floor_leaves_a_bell_as_it_is() -> None:
    x = np.random.default_rng(0).normal(size=1 << 16).astype(np.float32)
    h, spec = Histogram.of(x), QuantSpec("int8")
    assert compute_range(h, spec, "entropy") == compute_range(
        h, spec, "entropy", start_bin=128
    )


def test_every_entry_has_its_own_floor() -> None:
    rows = np.stack([relu_with_outliers(), relu_with_outliers()[::-1] * 3])
    h = Histogram.of(rows, granularity=PerChannel(0))
    together = compute_range(h, QuantSpec("int8"), "entropy")[1]
    alone = [compute_range(Histogram.of(r), QuantSpec(), "entropy")[1] for r in rows]
    assert np.array_equal(together, np.concatenate(alone))
