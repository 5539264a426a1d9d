"""The compiled searches find what the portable ones and plain loops do."""

import math
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from array_api_compat import numpy as xp

import qcore
from qcore import QuantSpec, parse_format
from qcore.libraries import arithmetic
from qcore.methods import balance, divergence, step_search
from qcore.methods.ends import TIE
from qcore.methods.mse import best_split
from qcore.methods.range_search import search_ranges
from qcore.methods.registry import find_method
from qcore.methods.solve import solve
from qcore.methods.squared_error import NOISE, is_fine

pytest.importorskip("numba")

from qcore.backends.numba import balance as native_balance
from qcore.backends.numba import entropy as native_entropy
from qcore.backends.numba import solve as native_solve
from qcore.backends.numba import squared_error as native

KINDS = ("random", "sparse", "one", "huge", "empty", "bell")
INTEGERS = ["int2", "int4", "uint4", "int8", "uint8", "int16"]
FORMATS = [*INTEGERS, "float4_e2m1fn", "float8_e4m3fn"]


@cache
def counts_of(kind, slots):
    rng = np.random.default_rng(slots)
    shape = 2, slots
    if kind == "random":
        return rng.integers(0, 1000, shape)
    if kind == "sparse":
        return rng.integers(1, 9, shape) * (rng.random(shape) < 0.05)
    if kind == "huge":
        return rng.integers(0, 2**52, shape) * (rng.random(shape) < 0.5)
    x = np.zeros(shape, np.int64)
    if kind == "one":
        x[1, slots // 3] = 7
    if kind == "bell":
        x[:] = 1e9 * np.exp(-(np.linspace(0, 5, slots) ** 2) / 2)
    return x


def channels(slots):
    return np.stack([counts_of(kind, slots) for kind in KINDS])


def moments(counts):
    places = np.arange(counts.shape[2]) + 0.5
    return (counts * (places * places + 1 / 12)).sum(axis=(1, 2))[:, None]


def assert_the_best_are_found(found, expected, counts, *, is_difference=True):
    """Compare errors: what the tie rule may choose must be there and right."""
    noise = NOISE * is_difference * moments(counts)
    least = expected.min(axis=1, keepdims=True)
    may_win = np.isfinite(expected) & (expected <= least * TIE + noise)
    assert np.all(np.isfinite(found[may_win]))
    there = np.isfinite(found)
    assert not np.any(there & np.isinf(expected))
    close = np.abs(found[there] - expected[there])
    bar = np.broadcast_to(noise, found.shape)[there] + 1e-9 * expected[there]
    assert np.all(close <= bar)


def portable(kernel, *arguments, **options):
    with arithmetic(xp):
        return kernel.reference(*arguments, xp=xp, **options)


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
    fmt, counts = parse_format(name), channels(slots)
    steps = np.linspace(1, 2 * slots, 300)[None] / fmt.max
    allowed = np.arange(300) < np.asarray([[300], [200]] * 3)
    found = native.search_symmetric(counts, steps, allowed, fmt)
    expected = portable(step_search.search_symmetric, counts, steps, allowed, fmt)
    assert_the_best_are_found(found, expected, counts, is_difference=not is_fine(fmt))


@pytest.mark.parametrize("codes", [3, 15, 255, 511, 65535])
@pytest.mark.parametrize("slots", [64, 512])
def test_affine_errors_equal_the_portable_ones(codes, slots):
    counts = channels(slots)
    steps = np.arange(1, 2 * slots + 1)[None] / codes
    allowed = np.arange(2 * slots) < np.asarray([[2 * slots], [slots]] * 3)
    found = native.search_affine(counts, steps, allowed, codes)
    expected = portable(step_search.search_affine, counts, steps, allowed, codes)
    assert_the_best_are_found(found, expected, counts, is_difference=codes < 512)


@pytest.mark.parametrize("codes", [3, 15, 255, 511, 65535])
def test_errors_of_ranges_equal_the_portable_ones(codes):
    counts, rng = channels(256), np.random.default_rng(codes)
    steps = rng.uniform(1, 512, (6, 300)) / codes
    below = rng.integers(0, codes + 1, (6, 300)).astype(float)
    allowed = rng.random((6, 300)) < 0.8
    found = native.search_ranges(counts, steps, below, allowed, codes)
    expected = portable(search_ranges, counts, steps, below, allowed, codes)
    assert_the_best_are_found(found, expected, counts, is_difference=codes < 512)


@pytest.mark.parametrize("codes", [3, 255, 65535])
def test_the_best_number_of_codes_below_zero_is_the_portable_one(codes):
    counts, rng = channels(256), np.random.default_rng(codes)
    steps, reach = rng.uniform(1, 512, (6, 1)) / codes, rng.uniform(0, 256, (6, 2))
    noise = NOISE * moments(counts)
    found = native.best_split(counts, steps, reach, noise, codes)
    np.testing.assert_array_equal(
        found, portable(best_split, counts, steps, reach, noise, codes)
    )


def test_steps_in_any_order_have_the_same_errors():
    fmt, counts = parse_format("int4"), channels(128)
    steps = np.random.default_rng(0).uniform(0.1, 20, (6, 200))
    steps[:, 50:100] = steps[:, :50]
    allowed = np.random.default_rng(1).random((6, 200)) < 0.7
    found = native.search_symmetric(counts, steps, allowed, fmt)
    expected = portable(step_search.search_symmetric, counts, steps, allowed, fmt)
    assert_the_best_are_found(found, expected, counts)


def test_nothing_allowed_leaves_all_infinite():
    counts, none = channels(64), np.zeros((6, 9), np.bool_)
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


def windows(slots, *, one_sided):
    """Return edges of windows ``[1, S]``, and some of them for each channel."""
    reach = np.arange(2, slots + 1)[None]
    first = np.zeros_like(reach) if one_sided else slots - reach
    last = reach if one_sided else slots + np.minimum(reach, slots // 2)
    allowed = np.random.default_rng(0).random((6, slots - 1)) < 0.8
    allowed[0], allowed[1, :-9] = True, False
    return first, last, allowed


def even(groups):
    return tuple(k / groups for k in range(groups + 1))


FLOAT_CELLS = 0.0, 0.05, 0.11, 0.3, 0.55, 0.8, 1.0


@pytest.mark.parametrize("one_sided", [True, False])
@pytest.mark.parametrize("slots", [64, 256])
@pytest.mark.parametrize(
    "cells",
    [*map(even, (2, 3, 7, 16, 128, 256, 2048)), FLOAT_CELLS],
    ids=lambda cells: str(len(cells) - 1),
)
def test_divergences_equal_the_portable_ones(cells, slots, one_sided):
    counts = channels(slots)
    line = counts[:, 1] if one_sided else counts.reshape(6, -1)
    first, last, allowed = windows(slots, one_sided=one_sided)
    beside = np.asarray([0, 5, 0, 2**50, 0, 1])
    arguments = line, first, last, allowed
    merged = native_entropy.merged_information(*arguments, cells)
    expected = portable(divergence.merged_information, *arguments, cells)
    np.testing.assert_allclose(merged[allowed], expected[allowed], rtol=1e-11)
    options = {"beside": beside, "cells": cells}
    found = native_entropy.divergence(*arguments, **options)
    expected = portable(divergence.divergence, *arguments, **options)
    np.testing.assert_allclose(found[allowed], expected[allowed], 1e-9, 1e-11)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "huge"])
@pytest.mark.parametrize("groups", [2, 5, 16])
def test_divergences_equal_those_by_loops(kind, groups):
    line = counts_of(kind, 64).sum(axis=0)
    first, last, _ = windows(64, one_sided=True)
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


@pytest.mark.parametrize(
    ("name", "symmetric"),
    [(n, s) for n in FORMATS for s in (True, False) if s or "float" not in n],
)
def test_balance_equals_the_portable_one(name, symmetric):
    spec, counts = QuantSpec(name, symmetric=symmetric), channels(256)
    above = np.arange(1.0, 257)[None]
    below = above if symmetric else np.minimum(above, 99.5)
    np.testing.assert_array_equal(
        native_balance.is_balanced(counts, below, above, spec),
        portable(balance.is_balanced, counts, below, above, spec),
    )


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
    allowed = np.ones((6, 30), np.bool_)
    fmt = parse_format("int4")
    expected = native.search_symmetric(counts, steps, allowed, fmt)
    compiled = len(native._search_steps.signatures)
    for x in (counts, steps, allowed):
        x.flags.writeable = False
    for given in (counts, np.repeat(counts, 2, axis=2)[:, :, ::2]):
        found = native.search_symmetric(given, steps, allowed, fmt)
        np.testing.assert_array_equal(found, expected)
    assert len(native._search_steps.signatures) == compiled
