"""Coarser slots hold what counting afresh gives, and say what they have lost."""

import numpy as np
import pytest

from qcore import Histogram, PerChannel
from tests.qcore.histogram_definition import BINS, CASES, collect, definition


def rescaled(state, k):
    return state.rescale(k)


@pytest.mark.parametrize("steps", [0, 1, 2, 5, 6, 7, 40])
def test_rescaling_equals_counting_afresh(run, array, check, steps):
    x = CASES["many scales"][:48] / np.float32(2**60)
    k = int(definition(x)["k"]) + steps
    state = Histogram.of(array(x), bins=BINS)
    check(run(rescaled, state, array(np.int32([k]))), definition(x, k=k))
    check(state.rescale(k), definition(x, k=k))


def test_rescaling_twice_is_rescaling_once(array, check):
    x, k = CASES["an outlier"], int(definition(CASES["an outlier"])["k"])
    state = collect(array(x))
    for step in range(1, 9):
        state = state.rescale(k + step)
    check(state, definition(x, k=k + 8))


def test_a_smaller_k_is_not_gone_back_to(array, check):
    state = collect(array(CASES["normal"]))
    check(state.rescale(-100), definition(CASES["normal"]))


def test_channels_are_rescaled_each_for_itself(array, check):
    x = np.stack([CASES["normal"], CASES["huge"], CASES["zeros"]])
    state = Histogram.of(array(x), bins=BINS, granularity=PerChannel(0))
    k = np.int32([3, 0, -120])
    expected = [
        max(wanted, definition(row)["k"]) for wanted, row in zip(k, x, strict=True)
    ]
    check(state.rescale(array(k)), *map(definition, x, expected))


def test_the_width_is_a_power_of_two(array, to_numpy):
    x = np.stack([CASES["normal"], CASES["huge"], CASES["zeros"]])
    found = Histogram.of(array(x), bins=BINS, granularity=PerChannel(0))
    expected = [2.0 ** int(definition(row)["k"]) for row in x]
    np.testing.assert_array_equal(
        to_numpy(found.width), np.float64(expected), strict=True
    )


def test_lost_resolution_is_the_share_of_slot_0(array, to_numpy):
    x = np.float32([[0.01, -0.01, 0.02, 64], [1, 2, 3, 4], [0, 0, 0, 0]])
    found = Histogram.of(array(x), bins=BINS, granularity=PerChannel(0))
    assert to_numpy(found.resolution_lost).tolist() == [0.75, 0, 0]


def test_exponents_see_the_bulk_below_an_outlier(array, to_numpy):
    x = np.float32([2.0**-20, -(2.0**-20), 1.5 * 2.0**-30, 1.0])
    found = collect(array(x))
    expected = np.zeros((1, 2, 256), np.int64)
    expected[0, 1, 127 - 20] = expected[0, 0, 127 - 20] = expected[0, 1, 127 - 30] = 1
    np.testing.assert_array_equal(to_numpy(found.exponents), expected)
