"""The entropy search against its definition, written out as loops."""

import math
from bisect import bisect_right
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from qcore import Histogram, PerChannel, QuantSpec, compute_range
from qcore.methods.divergence import divergence as divergence_of_windows
from tests.qcore.distributions import KINDS, samples

Ends = tuple[float, float]


def cells_of(spec: QuantSpec) -> list[Fraction]:
    """Return where groups begin, as fractions of the window."""
    fmt = spec.format
    if fmt.name.startswith("float"):
        values = [Fraction(v) for v in fmt.values[: fmt.max_code + 1]]
        middles = [(a + b) / 2 for a, b in pairwise(values)]
        return [Fraction(0), *(m / values[-1] for m in middles)]
    groups = 2 ** (fmt.bits - (spec.symmetric and fmt.signed))
    return [Fraction(k, groups) for k in range(groups)]


def divergence(inside: list[int], low: int, high: int, cells: list[Fraction]) -> float:
    """Return KL(P || Q) of a window, with so many outliers below and above it."""
    p = list(inside)
    p[0] += low
    p[-1] += high
    begins = [cell * len(inside) for cell in cells]
    groups: dict[int, list[int]] = {}
    for slot in range(len(inside)):
        if inside[slot]:
            groups.setdefault(bisect_right(begins, slot), []).append(slot)
    q = [0.0] * len(inside)
    for slots in groups.values():
        for slot in slots:
            q[slot] = sum(inside[s] for s in slots) / len(slots)
    if not sum(q):
        return math.nan
    total = 0.0
    for share, model in zip(p, q, strict=True):
        if share and not model:
            return math.inf
        if share:
            total += share / sum(p) * math.log(share / sum(p) / (model / sum(q)))
    return 0.0 if total < 1e-12 else total


def windows(h: Histogram, spec: QuantSpec) -> Iterator[tuple[int, float]]:
    """Yield every reach t in slots and the divergence of its window."""
    negative, positive = (side.tolist() for side in h.counts[0])
    cells = cells_of(spec)

    def used(*sides: list[int]) -> int:
        filled = (j + 1 for side in sides for j, n in enumerate(side) if n)
        return max(filled, default=0)

    signed = spec.format.name[0] != "u"
    if not spec.symmetric:
        for t in range(len(cells), used(negative, positive) + 1):
            below, above = min(t, used(negative)), min(t, used(positive))
            inside = negative[:below][::-1] + positive[:above]
            outliers = sum(negative[below:]), sum(positive[above:])
            yield t, divergence(inside, *outliers, cells)
        return
    line = [a + b for a, b in zip(negative, positive, strict=True)]
    line, beside = (line, 0) if signed else (positive, sum(negative))
    for t in range(len(cells), used(line) + 1):
        yield t, divergence(line[:t], beside, sum(line[t:]), cells)


def best_range(h: Histogram, spec: QuantSpec) -> Ends:
    """Return the range of the largest window that is as good as the best."""
    low, high = min(float(h.min[0]), 0.0), max(float(h.max[0]), 0.0)
    amax = high if spec.format.name[0] == "u" else max(-low, high)
    usable = [(t, d) for t, d in windows(h, spec) if math.isfinite(d)]
    least = min((d for _, d in usable), default=0.0)
    chosen = [t for t, d in usable if d <= least * (1 + 1e-9)] or [h.slots]
    t = chosen[-1] * 2.0 ** int(h.k[0])
    if not spec.symmetric:
        return max(low, -t), min(high, t)
    return (0.0 if spec.format.name[0] == "u" else -min(t, amax)), min(t, amax)


def found_range(h: Histogram, spec: QuantSpec, **options: Any) -> Ends:
    """Return the range by divergence alone, from as many slots on as there are groups.

    tests/qcore/test_balance.py has the default's floor.
    """
    options = {"start_bin": len(cells_of(spec))} | options
    lo, hi = compute_range(h, spec, "entropy", **options)
    return float(lo[0]), float(hi[0])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["int3", "int5", "int8"])
def test_a_symmetric_search_chooses_as_the_loops_do(kind: str, name: str) -> None:
    h, spec = Histogram.of(samples(kind), bins=128), QuantSpec(name)
    assert found_range(h, spec) == best_range(h, spec)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["uint3", "uint5", "uint7"])
def test_an_unsigned_search_counts_negative_values_beside_the_first_slot(
    kind: str, name: str
) -> None:
    h, spec = Histogram.of(samples(kind), bins=128), QuantSpec(name)
    assert found_range(h, spec) == best_range(h, spec)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["int3", "uint5", "int6"])
def test_an_asymmetric_search_chooses_as_the_loops_do(kind: str, name: str) -> None:
    h, spec = Histogram.of(samples(kind), bins=64), QuantSpec(name, symmetric=False)
    assert found_range(h, spec) == best_range(h, spec)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["float4_e2m1fn", "float6_e3m2fn", "float8_e4m3fn"])
def test_groups_of_a_float_format_are_its_rounding_cells(kind: str, name: str) -> None:
    h, spec = Histogram.of(samples(kind), bins=128), QuantSpec(name)
    assert found_range(h, spec) == best_range(h, spec)


@pytest.mark.parametrize("bins", [32, 64, 256])
def test_any_number_of_slots_is_searched(bins: int) -> None:
    h, spec = Histogram.of(samples("laplace"), bins=bins), QuantSpec("int4")
    assert found_range(h, spec) == best_range(h, spec)


def test_many_random_histograms_are_searched_as_by_the_loops() -> None:
    rng = np.random.default_rng(5)
    for _ in range(40):
        filled = rng.random(100) < rng.uniform(0.05, 1)
        counts = np.where(filled, rng.integers(1, 50, 100), 0)
        x = np.repeat(np.arange(100) - 40 + 0.5, counts).astype(np.float32)
        h = Histogram.of(x, bins=32)
        for spec in (QuantSpec("int4"), QuantSpec("int4", symmetric=False)):
            assert found_range(h, spec) == best_range(h, spec)


def test_each_channel_is_searched_as_if_alone() -> None:
    rows = np.stack([samples(kind, 3000)[:300] for kind in KINDS[:4]])
    spec = QuantSpec("int5")
    h = Histogram.of(rows, bins=64, granularity=PerChannel(0))
    lo, hi = compute_range(h, spec, "entropy", start_bin=len(cells_of(spec)))
    alone = [best_range(Histogram.of(row, bins=64), spec) for row in rows]
    assert list(zip(lo.tolist(), hi.tolist(), strict=True)) == alone


@pytest.mark.parametrize("name", ["int8", "uint8"])
def test_one_outlier_does_not_stretch_the_range(name: str) -> None:
    x = np.append(np.random.default_rng(0).uniform(0, 1, 693), 10).astype(np.float32)
    assert found_range(Histogram.of(x), QuantSpec(name))[1] < 1.1


def test_zeros_are_left_out() -> None:
    x, spec = samples("laplace"), QuantSpec("int8")
    padded = np.append(x, np.zeros(100_000, np.float32))
    assert found_range(Histogram.of(padded), spec) == found_range(Histogram.of(x), spec)


def test_a_window_that_ends_in_a_gap_never_wins() -> None:
    x = np.append(np.linspace(0.1, 1, 500), 4).astype(np.float32)
    h = Histogram.of(x, bins=256)
    reach = found_range(h, QuantSpec("int4"))[1]
    assert h.counts[0, 1, int(reach / h.width[0]) - 1] > 0


def test_an_empty_window_never_wins() -> None:
    h = Histogram.of(np.full(100, -3.0, np.float32), bins=128)
    assert found_range(h, QuantSpec("int4")) == (-3.0, 3.0)
    assert found_range(h, QuantSpec("int4", symmetric=False)) == (-3.0, 0.0)


def test_the_search_leaves_the_statistics_as_they_are() -> None:
    h = Histogram.of(samples("gaussian"))
    before = h.counts.copy()
    found_range(h, QuantSpec("int8"))
    assert np.array_equal(h.counts, before)


def test_start_bin_and_stride_name_the_windows_that_are_tried() -> None:
    h, spec = Histogram.of(samples("outlier"), bins=64), QuantSpec("int4")
    tried = {t: d for t, d in windows(h, spec) if t in range(9, h.slots, 7)}
    t = min(tried, key=lambda t: (tried[t], -t))
    assert found_range(h, spec, start_bin=9, stride=7)[1] == t * h.width[0]


def test_a_long_stride_still_tries_the_range_of_all_values() -> None:
    x = np.concatenate([samples("gaussian"), np.full(400, 60, dtype=np.float32)])
    h = Histogram.of(x)
    assert found_range(h, QuantSpec("int8"), stride=4000) == (-60.0, 60.0)


def test_a_start_beyond_all_values_keeps_them_all() -> None:
    h = Histogram.of(samples("outlier"))
    assert found_range(h, QuantSpec("int8"), start_bin=10**6) == (-9.0, 9.0)


def test_the_number_of_groups_can_be_chosen() -> None:
    h = Histogram.of(samples("laplace"), bins=128)
    for levels, as_bits in ((16, "int5"), (4, "int3")):
        how = {"num_levels": levels, "start_bin": levels}
        found = found_range(h, QuantSpec("int8"), **how)
        assert found == best_range(h, QuantSpec(as_bits))
    with pytest.raises(ValueError, match="`num_levels` must not be given"):
        found_range(h, QuantSpec("float4_e2m1fn"), num_levels=8)


@pytest.mark.parametrize(
    "options",
    [{"start_bin": 1}, {"stride": 0}, {"stride": 1.5}, {"num_levels": 10**30}],
)
def test_a_senseless_option_is_named(options: dict[str, Any]) -> None:
    h = Histogram.of(samples("gaussian"))
    with pytest.raises(ValueError, match=f"`{next(iter(options))}` must be an integer"):
        found_range(h, QuantSpec("int8"), **options)


def test_divergence_of_windows_is_that_of_the_loops() -> None:
    h, spec = Histogram.of(samples("laplace"), bins=32), QuantSpec("int3")
    expected = dict(windows(h, spec))
    line, reach = h.counts.sum(axis=1), np.asarray([list(expected)])
    cells = (*map(float, cells_of(spec)), 1.0)
    none = np.zeros(1, np.int64)
    every = reach > 0
    found = divergence_of_windows(
        line, 0 * reach, reach, every, beside=none, cells=cells, xp=np
    )
    np.testing.assert_allclose(found[0], list(expected.values()), rtol=1e-10)
