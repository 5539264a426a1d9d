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
    SHAPES,
    check,
    check_regrid,
    kept,
    rows,
)


@pytest.fixture(autouse=True)
def _overflow_is_meant():
    with np.errstate(all="ignore"):
        yield


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("kind", ["any", "bell"])
def test_rows_of_any_length(kind, shape, grid):
    check(rows(kind, shape), None, 64, GRIDS[grid](shape[0]), "cpu")


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("kind", KINDS)
def test_values_of_any_kind(kind, grid):
    check(rows(kind, (3, 3000)), kept((3, 3000)), 4096, GRIDS[grid](3), "cpu")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
@pytest.mark.parametrize("grid", GRIDS)
def test_every_dtype(dtype, grid):
    check(rows("any", (3, 3000), dtype), None, 256, GRIDS[grid](3), "cpu")


def test_programs_share_the_copies_of_the_table(monkeypatch):
    monkeypatch.setattr(tally, "MOST_TILES", 2)
    monkeypatch.setattr(tally, "COPIES", 6)
    check(rows("any", (2, 30_000)), None, 64, GRIDS["all outgrown"](2), "cpu")


def test_offsets_of_64_bits(monkeypatch):
    monkeypatch.setattr(tally, "WIDE", 1)
    check(rows("any", (2, 3000)), kept((2, 3000)), 64, GRIDS["unknown"](2), "cpu")


@pytest.mark.parametrize("slots", [2, 64, 4096])
def test_counts_on_wider_grids(slots):
    check_regrid(slots, "cpu")
