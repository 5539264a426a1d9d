"""Counts are those of a definition in whole numbers, whatever the batches were."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from qcore import Histogram
from tests.qcore.histogram_definition import BINS, CASES, collect, definition

ORDERS = {
    "zeros first": ["zeros", "normal"],
    "nothing but zeros": ["zeros", "signed zeros", "subnormals"],
    "growing a million times": ["normal", "x 1e6", "x 1e12"],
    "shrinking a million times": ["normal", "x 1e-6", "x 1e-12"],
    "the whole range": ["smallest normal", "largest", "around the smallest"],
    "a power of two": ["normal", "a power of two", "a negative power of two"],
    "outliers and NaN": ["NaN", "an outlier", "infinite", "all NaN", "bits"],
}


@pytest.mark.parametrize("order", ORDERS)
def test_updates_equal_counting_all_at_once(array, check, order):
    batches = [
        np.float32(CASES["normal"] * float(name[2:]))
        if name.startswith("x ")
        else CASES[name]
        for name in ORDERS[order]
    ]
    found = collect(array(batches[0]))
    for batch in batches[1:]:
        found = found.update(array(batch))
    check(found, definition(np.concatenate(batches)))


def updated(x, y):
    return collect(x).update(y)


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("case", ["zeros", "many scales", "largest", "bits"])
def test_updates_compile(run, array, check, case, order):
    x, y = [CASES["normal"], CASES[case]][::order]
    check(run(updated, array(x), array(y)), definition(np.append(x, y)))


@pytest.mark.parametrize("size", [1, 7, 96, 500])
def test_the_size_of_batches_does_not_matter(array, check, size):
    x = np.concatenate([CASES[name] for name in ("normal", "NaN", "many scales")])
    x = x[:: 12 if size == 1 else 1]
    found = collect(array(x[:0]))
    for start in range(0, len(x), size):
        found = found.update(array(x[start : start + size]))
    check(found, definition(x))


@pytest.mark.parametrize("shards", [2, 12, 64])
def test_shards_merge_in_any_order(array, check, shards):
    rng = np.random.default_rng(shards)
    x = rng.permutation(np.concatenate([CASES[name] for name in CASES]))[:1920]
    states = [collect(array(part)) for part in x.reshape(shards, -1)]
    while len(states) > 1:  # any two at a time
        one, other = (states.pop(rng.integers(len(states))) for _ in range(2))
        states.append(one.merge(other))
    check(states[0], definition(x))


FLOATS = st.lists(st.floats(width=32, allow_subnormal=False), min_size=8, max_size=8)


@given(x=FLOATS, chosen=st.integers(0, 255))
def test_the_parts_of_any_data_merge_to_the_whole(array, check, x, chosen):
    x = np.float32(x)
    mask = np.array([bool(chosen >> i & 1) for i in range(8)])
    one = Histogram.of(array(x), bins=BINS, mask=array(mask))
    other = Histogram.of(array(x), bins=BINS, mask=array(~mask))
    check(one.merge(other), definition(x))
    check(other.merge(one), definition(x))


def test_counts_go_past_what_floats_can_count(array, to_numpy):
    one = collect(array(CASES["NaN"]))
    many = one
    for _ in range(55):
        many = many.merge(many)
    many = many.merge(one).rescale(int(to_numpy(one.k)[0]) + 2)
    expected = definition(CASES["NaN"], k=int(to_numpy(one.k)[0]) + 2)
    for name in ("counts", "exponents", "zeros", "nans"):
        found = to_numpy(getattr(many, name))[0]
        np.testing.assert_array_equal(found, expected[name] * (2**55 + 1), name)


@pytest.mark.parametrize("power", [24, 31, 53])
def test_one_more_is_counted_past_a_power_of_two(array, to_numpy, power):
    one = collect(array(np.float32([0.5, 0])))
    many = one
    for _ in range(power):
        many = many.merge(many)
    many = many.merge(one)
    assert to_numpy(many.zeros).tolist() == [2**power + 1]
    assert to_numpy(many.counts).max() == 2**power + 1
