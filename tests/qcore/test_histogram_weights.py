"""A mask says which values count, weights how much each of them does."""

import numpy as np
import pytest

from qcore import Histogram, PerBlock, PerChannel
from tests.qcore.histogram_definition import BINS, CASES, collect, definition


def masked(x, mask):
    return Histogram.of(x, bins=BINS, mask=mask)


@pytest.mark.parametrize("case", ["normal", "NaN", "infinite", "many scales"])
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_mask_keeps_where_true(run, array, check, case, share):
    mask = np.random.default_rng(12).random(96) < share
    found = run(masked, array(CASES[case]), array(mask))
    check(found, definition(CASES[case][mask]))


def test_a_mask_broadcasts(array, check):
    x = CASES["normal"].reshape(2, 4, 12)
    mask = np.array([True, False, True, False])[:, None]
    found = Histogram.of(
        array(x), bins=BINS, mask=array(mask), granularity=PerChannel(-1)
    )
    check(found, *(definition(x[:, ::2, i]) for i in range(12)))


def test_a_mask_does_not_count_the_padding_of_a_block(array, check):
    x = CASES["normal"][:14].reshape(2, 7)
    mask = array(np.ones((1, 7), bool))
    found = Histogram.of(array(x), bins=BINS, mask=mask, granularity=PerBlock(1, 4))
    check(found, *(definition(part) for row in x for part in (row[:4], row[4:])))


def test_an_update_takes_a_mask(array, check):
    mask = np.arange(96) % 2 == 0
    found = collect(array(CASES["normal"])).update(array(CASES["huge"]), array(mask))
    check(found, definition(np.append(CASES["normal"], CASES["huge"][::2])))


def weighted(x, weights):
    return Histogram.of(x, bins=BINS, weights=weights)


@pytest.mark.parametrize("case", ["normal", "NaN", "infinite", "signed zeros"])
def test_weights_count_in_whole_units(run, array, check, case):
    weights = np.random.default_rng(13).uniform(0, 3, 96).astype(np.float32)
    weights[:4] = [0, 2.0**-16, 2.5 * 2.0**-16, 3.5 * 2.0**-16]
    amounts = np.array([round(float(w) * 2**16) for w in weights])
    found = run(weighted, array(CASES[case]), array(weights))
    assert found.weighted
    check(found, definition(CASES[case], amounts=amounts))


def test_a_weight_is_2_to_the_31_at_most(array, to_numpy):
    weights = array(np.float32([2.0**31, 1e30, 1]))
    found = weighted(array(np.float32([1, -1, 0])), weights)
    assert to_numpy(found.counts).sum(axis=-1).tolist() == [[2**47, 2**47]]
    assert to_numpy(found.zeros).tolist() == [2**16]


def test_weights_broadcast_with_a_mask_and_channels(array, check):
    x = CASES["normal"].reshape(2, 4, 12)
    weights, mask = np.float32([1, 2, 0.5, 3])[:, None], np.arange(12) % 2 == 0
    found = Histogram.of(
        array(x),
        bins=BINS,
        granularity=PerChannel(0),
        mask=array(mask),
        weights=array(weights),
    )
    amounts = np.broadcast_to(weights * 2**16, (4, 6)).astype(np.int64).ravel()
    check(found, *(definition(part[:, ::2], amounts=amounts) for part in x))


def test_weighted_updates_add_up(array, check):
    x, y = CASES["normal"], CASES["huge"]
    weights = np.full(96, 0.5, np.float32)
    found = weighted(array(x), array(weights)).update(array(y), weights=array(weights))
    amounts = np.full(192, 2**15)
    check(found, definition(np.append(x, y), amounts=amounts))


def test_weights_are_for_all_updates_or_none(array):
    x, ones = array(CASES["normal"]), array(np.ones(96, np.float32))
    with pytest.raises(TypeError, match="this state began without them"):
        collect(x).update(x, weights=ones)
    with pytest.raises(TypeError, match="this state began with them"):
        weighted(x, ones).update(x)


@pytest.mark.parametrize("shape", [(95,), (2, 96), (96, 1)])
def test_weights_broadcast_to_the_data(array, shape):
    x, weights = array(CASES["normal"]), array(np.ones(shape, np.float32))
    with pytest.raises(ValueError, match="`weights` must broadcast to the shape of"):
        weighted(x, weights)


@pytest.mark.parametrize("weight", [0.0, 2.0**-18, -1.0, np.nan, np.inf])
def test_without_a_positive_weight_a_value_is_masked(run, array, check, weight):
    weights = np.where(np.arange(96) % 3, np.float32(1), np.float32(weight))
    found = run(weighted, array(CASES["bits"]), array(weights))
    check(found, definition(CASES["bits"], amounts=(np.arange(96) % 3 > 0) * 2**16))
