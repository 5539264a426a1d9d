"""Rows counted by the kernels are counted as by the portable function."""

import shutil

import numpy as np
import pytest

from qcore.backends.cuda.regrid import regrid
from qcore.backends.cuda.tally import tally
from qcore.kernels import Declined
from tests.backends.cuda.cases import regrid_cases, tally_case, tally_cases
from tests.backends.cuda.emulator import Emulator
from tests.backends.hard import assert_same_bits, rows

TALLIES = tally_cases()
REGRIDS = regrid_cases()


@pytest.mark.parametrize("case", TALLIES.values(), ids=TALLIES)
def test_counts_equal_the_portable_ones(device, case):
    found = tally(device, *case.given)
    for pair in zip(found, case.expected, strict=True):
        assert_same_bits(*pair)


def test_one_pass_is_enough_where_the_grid_is_known(device):
    tally(device, *TALLIES["float32-grid known"].given)
    assert device.launched == ["tally_once", "tally_settle", "tally_again"]


@pytest.mark.parametrize("multiprocessors", [1, 30, 132])
def test_counts_do_not_depend_on_how_many_blocks_share_a_row(device, multiprocessors):
    device.multiprocessors = multiprocessors
    case = tally_case(rows(3, 9001), 256, [-3, -3, -3])
    for pair in zip(tally(device, *case.given), case.expected, strict=True):
        assert_same_bits(*pair)


@pytest.mark.skipif(not shutil.which("g++"), reason="g++ is not installed")
def test_blocks_of_the_size_that_a_gpu_gets_count_alike():
    case = tally_case(rows(2, 20_011), 4096, [-9, -9])
    found = tally(Emulator(), *case.given)
    for pair in zip(found, case.expected, strict=True):
        assert_same_bits(*pair)


def test_no_data_is_declined(device):
    empty = np.zeros((2, 0), np.float32)
    assert isinstance(tally(device, empty, None, None, 64, None), Declined)


@pytest.mark.parametrize("case", REGRIDS.values(), ids=REGRIDS)
def test_widened_counts_equal_the_portable_ones(device, case):
    found = regrid(device, *case.given)
    for pair in zip(found, case.expected, strict=True):
        assert_same_bits(*pair)
