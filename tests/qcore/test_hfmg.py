"""The glutton's path, against its turns taken one by one."""

from importlib import import_module

import numpy as np
import pytest

from qcore import Histogram, PerChannel, QuantSpec, calibrate, compute_range
from qcore import expected_error as error_of
from tests.qcore.distributions import KINDS, samples
from tests.qcore.range_definition import best_of


def found_range(h, spec):
    lo, hi = compute_range(h, spec, "hfmg")
    return lo[0], hi[0]


def next_cut(side, step):
    """Return how many outermost slots of a side hold the next values."""
    held, slots = 0, 0
    while held < step and slots < len(side):
        slots += 1
        held += side[-slots]
    return slots


def path(sides, step):
    """Yield how many slots of the upper and lower side are left, turn by turn."""
    left = [int(np.max(np.flatnonzero(side) + 1, initial=0)) for side in sides]
    yield tuple(left)
    while any(left):
        cuts = [next_cut(s[:n], step) for s, n in zip(sides, left, strict=True)]
        turn = int(np.argmax(cuts))  # the first, upper one if alike
        left[turn] -= cuts[turn]
        yield tuple(left)


def best_on_path(h, spec, turns=100_000):
    negative, positive = h.counts[0].tolist()
    step = max(-(-int(h.zeros[0] + h.counts.sum()) // turns), 1)
    ends = np.maximum([float(h.max[0]), -float(h.min[0])], 0)
    sides = [positive, negative]
    if spec.symmetric:
        folded = spec.format.signed
        sides = [[p + n * folded for p, n in zip(positive, negative, strict=True)], []]
        ends = [ends.max() if folded else ends[0], 0]
    width = float(h.width[0])
    ranges = [
        (-min(below * width, ends[1]), min(above * width, ends[0]))
        for above, below in path(sides, step)
    ]
    if spec.symmetric and spec.format.signed:
        ranges = [(-hi, hi) for _, hi in ranges]
    return best_of(h, ranges, spec)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["int3", "uint4", "int8"])
def test_the_best_range_on_the_path_is_found(kind, name):
    h, spec = Histogram.of(samples(kind), bins=32), QuantSpec(name, symmetric=False)
    assert found_range(h, spec) == best_on_path(h, spec)


@pytest.mark.parametrize("turns", [7, 50, 400])
@pytest.mark.parametrize("kind", KINDS)
def test_a_turn_gives_up_a_share_of_all_values(kind, turns, monkeypatch):
    module = import_module("qcore.methods.hfmg")  # the attribute is the function
    monkeypatch.setattr(module, "_TURNS", turns)
    h = Histogram.of(samples(kind), bins=32)
    spec = QuantSpec("uint3", symmetric=False)
    assert found_range(h, spec) == best_on_path(h, spec, turns)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["int3", "uint4", "float4_e2m1fn"])
def test_a_symmetric_range_has_one_tail_to_cut(kind, name):
    h, spec = Histogram.of(samples(kind), bins=32), QuantSpec(name)
    if not spec.format.signed and h.max[0] <= 0:
        assert found_range(h, spec) == (0, 0)
    else:
        assert found_range(h, spec) == best_on_path(h, spec)


def test_the_emptier_tail_is_cut():
    x = np.concatenate([np.linspace(-1, 1, 5000), [8]]).astype(np.float32)
    lo, hi = found_range(Histogram.of(x), QuantSpec("int3", symmetric=False))
    assert lo == -1
    assert hi < 1.01


def test_each_channel_is_searched_as_if_alone():
    rows = np.stack([samples(kind)[:200] for kind in KINDS])
    spec = QuantSpec("uint8", symmetric=False)
    h = Histogram.of(rows, bins=64, granularity=PerChannel(0))
    lo, hi = compute_range(h, spec, "hfmg")
    alone = [found_range(Histogram.of(row, bins=64), spec) for row in rows]
    assert list(zip(lo, hi, strict=True)) == alone


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_the_path_begins_with_the_whole_range(kind, symmetric):
    h, spec = Histogram.of(samples(kind)), QuantSpec("int8", symmetric=symmetric)
    found, whole = (
        error_of(h, calibrate(h, spec, method)) for method in ("hfmg", "minmax")
    )
    assert found <= whole * (1 + 1e-9)
