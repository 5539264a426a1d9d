"""The compiled searches find what the portable ones and plain loops do."""

import math
from itertools import pairwise

import numpy as np
import pytest

import qcore
from qcore import QuantSpec, parse_format
from qcore.methods import balance, divergence
from qcore.methods.mse import best_split
from qcore.methods.range_search import search_ranges
from qcore.methods.registry import find_method
from qcore.methods.solve import solve
from qcore.methods.squared_error import MANY_CODES, is_fine
from qcore.methods.step_search import search_affine, search_symmetric

pytest.importorskip("numba")

from qcore.backends.numba import balance as native_balance
from qcore.backends.numba import entropy as native_entropy
from qcore.backends.numba import solve as native_solve
from qcore.backends.numba import squared_error as native
from tests.backends.searches import (
    BESIDE,
    CHANNELS,
    FLOAT_CELLS,
    FORMATS,
    KINDS,
    SPECS,
    affine_case,
    assert_errors_equal,
    assert_the_best_are_found,
    balance_case,
    channels,
    counts_of,
    even,
    portable,
    range_case,
    split_case,
    symmetric_case,
    unordered_case,
    window_case,
)


def error_by_loops(counts, levels):
    """Return the squared error of rounding to levels, ascending, slot by slot."""
    edges = [-math.inf, *((a + b) / 2 for a, b in pairwise(levels)), math.inf]
    total = 0.0
    for j in np.nonzero(counts[0])[0]:
        total += counts[0, j] * _part(-j - 1, -j, levels, edges)
    for j in np.nonzero(counts[1])[0]:
        total += counts[1, j] * _part(j, j + 1, levels, edges)
    return total


def _part(low, high, levels, edges):
    total = 0.0
    for level, (a, b) in zip(levels, pairwise(edges), strict=True):
        start, stop = max(low, a), min(high, b)
        if start < stop:
            total += ((stop - level) ** 3 - (start - level) ** 3) / 3
    return total


def levels_of(fmt):
    if isinstance(fmt, qcore.FloatFormat):
        return np.asarray([-v for v in fmt.magnitudes[:0:-1]] + [*fmt.magnitudes])
    return np.arange(fmt.qmin, fmt.qmax + 1)


@pytest.mark.parametrize("slots", [64, 4096])
@pytest.mark.parametrize("name", FORMATS)
def test_symmetric_errors_equal_the_portable_ones(name, slots):
    arguments, fine = symmetric_case(name, slots, 300), is_fine(parse_format(name))
    assert_errors_equal(
        native.search_symmetric, search_symmetric, *arguments, fine=fine
    )


@pytest.mark.parametrize("codes", [3, 15, 255, 511, 65535])
@pytest.mark.parametrize("slots", [64, 512])
def test_affine_errors_equal_the_portable_ones(codes, slots):
    arguments, fine = affine_case(codes, slots), codes > MANY_CODES
    assert_errors_equal(native.search_affine, search_affine, *arguments, fine=fine)


@pytest.mark.parametrize("codes", [3, 15, 255, 511, 65535])
def test_errors_of_ranges_equal_the_portable_ones(codes):
    arguments, fine = range_case(codes, 300), codes > MANY_CODES
    assert_errors_equal(native.search_ranges, search_ranges, *arguments, fine=fine)


@pytest.mark.parametrize("codes", [3, 255, 65535])
def test_the_best_number_of_codes_below_zero_is_the_portable_one(codes):
    arguments = split_case(codes)
    found = native.best_split(*arguments)
    np.testing.assert_array_equal(found, portable(best_split, *arguments))


def test_steps_in_any_order_have_the_same_errors():
    assert_errors_equal(native.search_symmetric, search_symmetric, *unordered_case())


def test_nothing_allowed_leaves_all_infinite():
    counts, none = channels(64), np.zeros((CHANNELS, 9), np.bool_)
    steps = np.arange(1.0, 10)[None]
    assert np.all(native.search_affine(counts, steps, none, 15) == np.inf)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["int4", "uint4", "float4_e2m1fn"])
def test_symmetric_errors_equal_those_by_loops(kind, name):
    fmt, counts = parse_format(name), counts_of(kind, 64)[None]
    steps = np.linspace(0.3, 70, 25)[None] / fmt.max
    allowed = np.ones(steps.shape, np.bool_)
    found = native.search_symmetric(counts, steps, allowed, fmt)
    levels = levels_of(fmt)
    expected = [[error_by_loops(counts[0], levels * s) for s in steps[0]]]
    assert_the_best_are_found(found, np.asarray(expected), counts)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("codes", [3, 15])
def test_affine_errors_equal_the_least_by_loops(kind, codes):
    counts = counts_of(kind, 64)[None]
    steps = np.linspace(1, 128, 12)[None] / codes
    found = native.search_affine(counts, steps, np.ones((1, 12), np.bool_), codes)
    expected = [
        min(
            error_by_loops(counts[0], (np.arange(codes + 1) - below) * s)
            for below in range(codes + 1)
        )
        for s in steps[0]
    ]
    assert_the_best_are_found(found, np.asarray([expected]), counts)


@pytest.mark.parametrize("is_one_sided", [True, False])
@pytest.mark.parametrize("slots", [64, 256])
@pytest.mark.parametrize(
    "cells",
    [*map(even, (2, 3, 7, 16, 128, 256, 2048)), FLOAT_CELLS],
    ids=lambda cells: str(len(cells) - 1),
)
def test_divergences_equal_the_portable_ones(cells, slots, is_one_sided):
    *_, allowed = arguments = window_case(slots, is_one_sided=is_one_sided)
    merged = native_entropy.merged_information(*arguments, cells)
    expected = portable(divergence.merged_information, *arguments, cells)
    np.testing.assert_allclose(merged[allowed], expected[allowed], rtol=1e-11)
    options = {"beside": BESIDE, "cells": cells}
    found = native_entropy.divergence(*arguments, **options)
    expected = portable(divergence.divergence, *arguments, **options)
    np.testing.assert_allclose(found[allowed], expected[allowed], 1e-9, 1e-11)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "huge"])
@pytest.mark.parametrize("groups", [2, 5, 16])
def test_divergences_equal_those_by_loops(kind, groups):
    line = counts_of(kind, 64).sum(axis=0)
    _, first, last, _ = window_case(64, is_one_sided=True)
    every, options = np.ones(first.shape, np.bool_), {"beside": np.asarray([3])}
    options["cells"] = even(groups)
    found = native_entropy.divergence(line[None], first, last, every, **options)
    expected = [divergence_by_loops(line.tolist(), t, groups, 3) for t in last[0]]
    np.testing.assert_allclose(found[0], expected, 1e-9, 1e-11)


def divergence_by_loops(line, stop, groups, beside):
    """Return KL(P || Q) of the first slots, as the module of the method words it."""
    inside = sum(line[:stop])
    if inside == 0:
        return math.inf
    p = line[:stop]
    p[0] += beside
    p[-1] += sum(line[stop:])
    total, value = sum(line) + beside, 0.0
    for k in range(groups):
        group = range(-(-k * stop // groups), -(-(k + 1) * stop // groups))
        filled = [j for j in group if line[j]]
        for j in group:
            if p[j] and j not in filled:
                return math.inf
            if p[j]:
                q = sum(line[i] for i in filled) / len(filled) / inside
                value += p[j] / total * math.log(p[j] / total / q)
    return value


@pytest.mark.parametrize(("name", "symmetric"), SPECS)
def test_balance_equals_the_portable_one(name, symmetric):
    arguments = balance_case(name, symmetric)
    found = native_balance.is_balanced(*arguments)
    np.testing.assert_array_equal(found, portable(balance.is_balanced, *arguments))


@pytest.mark.parametrize("name", ["percentile", "mse", "entropy"])
def test_entries_in_threads_have_the_same_ranges(name):
    rows = np.random.default_rng(0).standard_normal((37, 999)).astype(np.float32)
    rows[3] = 0
    h = qcore.Histogram.of(rows, bins=2048, granularity=qcore.PerChannel(0))
    rest = h, QuantSpec("int8"), find_method(name), ()
    found = native_solve.solve(h.min, *rest)
    np.testing.assert_array_equal(found, portable(solve, h.min, *rest))


def test_arrays_that_cannot_be_written_need_no_second_compilation():
    counts, steps = channels(64), np.linspace(1, 20, 30)[None]
    allowed = np.ones((CHANNELS, 30), np.bool_)
    fmt = parse_format("int4")
    expected = native.search_symmetric(counts, steps, allowed, fmt)
    compiled = len(native._search_steps.signatures)
    for x in (counts, steps, allowed):
        x.flags.writeable = False
    for given in (counts, np.repeat(counts, 2, axis=2)[:, :, ::2]):
        found = native.search_symmetric(given, steps, allowed, fmt)
        np.testing.assert_array_equal(found, expected)
    assert len(native._search_steps.signatures) == compiled
