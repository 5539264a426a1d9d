"""Interpreted on the CPU, Triton's kernels count as the reference does."""

import os
from importlib.util import find_spec

import numpy as np
import pytest

if not find_spec("triton"):
    pytest.skip("triton is not installed", allow_module_level=True)
if os.environ.get("TRITON_INTERPRET") != "1":
    pytest.skip("TRITON_INTERPRET=1 is not set", allow_module_level=True)

from qcore.backends.triton import tally
from tests.backends.triton.tally_cases import (
    GRIDS,
    KINDS,
    check,
    check_regrid,
    kept,
    rows,
)

SHAPES = [(1, 1), (1, 5000), (3, 2048), (2, 9001), (6, 33)]
every_grid = pytest.mark.parametrize("grid", GRIDS)


@pytest.fixture(autouse=True)
def _overflow_is_meant():
    with np.errstate(all="ignore"):
        yield


@pytest.fixture(autouse=True)
def _much_is_little(monkeypatch):
    """Make rows many and long that the interpreter counts in a moment."""
    monkeypatch.setattr(tally, "MOST_TILES", 2)
    monkeypatch.setattr(tally, "COPIES", 4)


@every_grid
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_rows_of_any_number_and_length_are_counted_as_by_numpy(shape, grid):
    check(rows("any", shape), None, 64, GRIDS[grid](shape[0]), "cpu")


@every_grid
@pytest.mark.parametrize("kind", KINDS)
def test_values_of_any_kind_are_counted_as_by_numpy(kind, grid):
    check(rows(kind, (3, 3000)), kept((3, 3000)), 4096, GRIDS[grid](3), "cpu")


@every_grid
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_numbers_of_other_widths_are_counted_as_by_numpy(dtype, grid):
    check(rows("any", (3, 3000), dtype), None, 256, GRIDS[grid](3), "cpu")


def test_programs_that_share_copies_of_a_table_count_as_numpy_does(monkeypatch):
    monkeypatch.setattr(tally, "COPIES", 6)
    check(rows("any", (2, 30_000)), None, 64, GRIDS["all outgrown"](2), "cpu")


def test_offsets_of_64_bits_reach_the_same_values(monkeypatch):
    monkeypatch.setattr(tally, "WIDE", 1)
    check(rows("any", (2, 3000)), kept((2, 3000)), 64, GRIDS["unknown"](2), "cpu")


@pytest.mark.parametrize("slots", [2, 64, 4096])
def test_counts_move_to_wider_grids_as_by_numpy(slots):
    check_regrid(slots, "cpu")
