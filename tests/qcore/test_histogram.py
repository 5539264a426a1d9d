"""Counts are those of a definition in whole numbers, whatever the data is."""

import numpy as np
import pytest

from qcore import Histogram, PerBlock, PerChannel
from tests.qcore.histogram_definition import (
    BINS,
    CASES,
    LARGEST,
    SLOTS,
    collect,
    definition,
)


@pytest.fixture
def rounded(array, to_numpy):
    """A function from values to an array of a dtype, and what that rounded them to."""

    def make(values, dtype):
        with np.errstate(all="ignore"):  # float16 overflows
            x = array(values, dtype)
            return x, to_numpy(x).astype(np.float32)

    return make


@pytest.mark.parametrize("case", CASES)
def test_counts_are_those_of_the_definition(run, rounded, check, float_dtype, case):
    x, values = rounded(CASES[case], float_dtype)
    check(run(collect, x), definition(values))


def test_float64_is_rounded_to_float32(array, check):
    edges = [2.0**-126, 2.0**-126 - 2.0**-150, 2.0**-149, 2.0**-150, 0.1, 1 / 3]
    edges += [2.0**128 - 2.0**103, float(LARGEST), 1e300, 1e-300, 5e-324]
    edges += [np.inf, np.nan, 1 + 2.0**-24, 1 + 3 * 2.0**-24]
    near = [np.nextafter(edges, to) for to in (-np.inf, np.inf)]
    x = np.concatenate([np.float64(edges), *near])
    x = np.concatenate([x, -x])
    with np.errstate(over="ignore", under="ignore"):
        expected = definition(x.astype(np.float32))
    check(collect(array(x)), expected)


@pytest.mark.parametrize("axis", [0, -2, (2, 0)])
def test_every_channel_has_its_own_grid(array, check, axis):
    x = np.stack([CASES[name] for name in ("normal", "huge", "NaN", "zeros")])
    x = x.reshape(4, 12, 8)
    found = Histogram.of(array(x), bins=BINS, granularity=PerChannel(axis))
    kept = sorted(a % 3 for a in np.atleast_1d(axis))
    moved = np.moveaxis(x, kept, range(len(kept)))
    rows = moved.reshape(np.prod(moved.shape[: len(kept)]), -1)
    check(found, *map(definition, rows))
    assert found.extents == tuple(n if a in kept else 1 for a, n in enumerate(x.shape))


def test_channels_compile(run, array, check):
    x = np.stack([CASES[name] for name in ("normal", "huge", "NaN", "zeros")])
    granularity = PerChannel(0)
    found = run(lambda x: Histogram.of(x, bins=BINS, granularity=granularity), array(x))
    check(found, *map(definition, x))


@pytest.mark.parametrize(("axis", "size"), [(0, 2), (1, 5), (-1, 9)])
def test_every_block_has_its_own_grid(array, check, axis, size):
    x = CASES["many scales"][:21].reshape(3, 7)
    found = Histogram.of(array(x), bins=BINS, granularity=PerBlock(axis, size))
    starts = range(0, x.shape[axis], size)
    blocks = [np.moveaxis(x, axis, 0)[start : start + size].T for start in starts]
    rows = [np.atleast_2d(b)[i] for i in range(len(blocks[0])) for b in blocks]
    if axis == 0:
        rows = [b[i] for b in blocks for i in range(len(blocks[0]))]
    check(found, *map(definition, rows))


@pytest.mark.parametrize(("bins", "slots"), [(2, 4), (2048, 4096), (2049, 8192)])
def test_slots_are_twice_the_next_power_of_two(array, bins, slots):
    found = Histogram.of(array(CASES["normal"]), bins=bins)
    assert found.slots == slots
    assert found.counts.shape == (1, 2, slots)


def test_one_number_is_a_batch(array, check):
    check(collect(array(np.float32(-0.75))), definition([-0.75]))


@pytest.mark.parametrize("shape", [(0,), (0, 3), (2, 0, 5)])
def test_no_numbers_are_a_batch(array, check, shape):
    check(collect(array(np.zeros(shape, np.float32))), definition([]))


def test_channels_may_be_empty(array, check):
    x = array(np.zeros((2, 0), np.float32))
    found = Histogram.of(x, bins=BINS, granularity=PerChannel(0))
    check(found, definition([]), definition([]))


def test_there_may_be_no_channels(array):
    x = array(np.zeros((0, 3), np.float32))
    found = Histogram.of(x, bins=BINS, granularity=PerChannel(0))
    assert found.counts.shape == (0, 2, SLOTS)
    assert found.update(x).k.shape == (0,)


@pytest.mark.parametrize("index", [np.s_[::2, :], np.s_[:, 1::3], np.s_[2:5, 3:7]])
def test_strided_data_is_counted_in_place(array, check, index):
    x = CASES["normal"].reshape(8, 12)
    check(collect(array(x)[index]), definition(x[index]))


def test_transposed_data_is_counted_in_place(xp, array, check):
    x = CASES["normal"].reshape(8, 12)
    found = Histogram.of(
        xp.permute_dims(array(x), (1, 0)), bins=BINS, granularity=PerChannel(0)
    )
    check(found, *map(definition, x.T))


def test_read_only_data_is_counted_and_left_alone(check):
    x = CASES["NaN"].copy()
    x.flags.writeable = False
    check(collect(x), definition(x))
    np.testing.assert_array_equal(x, CASES["NaN"])


def test_data_backwards_in_memory_is_counted(check):
    check(collect(CASES["normal"][::-1]), definition(CASES["normal"]))


def test_a_numpy_scalar_is_one_number(check):
    check(collect(np.float32(3)), definition([3]))


@pytest.mark.parametrize("bins", [1, 0, -5, 2**20 + 1, 64.0, "64"])
def test_bins_are_two_to_a_million(array, bins):
    with pytest.raises(ValueError, match="`bins` must be an integer from 2 to 1048576"):
        Histogram.of(array(CASES["normal"]), bins=bins)
