"""The searches by Triton find what the portable ones do, on arrays of NumPy.

Interpreted on the CPU where TRITON_INTERPRET is 1, on a GPU where there is one.
"""

import os
from functools import cache

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
from qcore.methods.squared_error import MANY_CODES, NOISE, is_fine

pytest.importorskip("triton")
pytest.importorskip("torch")

import torch

from qcore.backends import entries as native_solve

IS_INTERPRETED = os.environ.get("TRITON_INTERPRET", "0") == "1"
HAS_GPU = torch.cuda.is_available() and not IS_INTERPRETED
PLACES = [
    pytest.param(
        "cpu",
        id="torch-interpreted",
        marks=pytest.mark.skipif(
            not IS_INTERPRETED, reason="Triton interprets if TRITON_INTERPRET=1"
        ),
    ),
    pytest.param(
        "cuda",
        id="torch-cuda",
        marks=[
            pytest.mark.gpu,
            pytest.mark.skipif(not HAS_GPU, reason="no GPU, or Triton interprets"),
        ],
    ),
]
KINDS = ("random", "sparse", "one", "huge", "empty", "bell")
INTEGERS = ["int2", "int4", "uint4", "int8", "uint8", "int16"]
FORMATS = [*INTEGERS, "float4_e2m1fn", "float8_e4m3fn"]
SPECS = [
    (name, symmetric)
    for name in FORMATS
    for symmetric in (True, False)
    if symmetric or "float" not in name
]


# The interpreter takes milliseconds for each code that errors are summed over, of each
# channel; for those of 16 bits there are no such sums.
FEW = {"int2", "int4", "uint4", "int16", "float4_e2m1fn"}
MOST_CODES = 65535 if HAS_GPU else 31
every_format = pytest.mark.parametrize(
    "name", [name for name in FORMATS if HAS_GPU or name in FEW]
)


def every_number(*codes):
    """Return a mark for numbers of codes, of those summed over only the small ones."""
    fit = [number for number in codes if number <= MOST_CODES or number > MANY_CODES]
    return pytest.mark.parametrize("codes", fit)


@pytest.fixture(params=PLACES)
def send(request):
    """A function from an array to a tensor where Triton's kernels run."""
    return lambda x: torch.from_numpy(np.array(x)).to(request.param)


@pytest.fixture
def most(send):
    """A function from a number for a GPU to one that the interpreter is fit for."""
    return lambda large, small: small if send(0).device.type == "cpu" else large


def channels(slots):
    return np.stack([counts_of(kind, slots) for kind in KINDS])


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


def moments(counts):
    places = np.arange(counts.shape[2]) + 0.5
    return (counts * (places * places + 1 / 12)).sum(axis=(1, 2))[:, None]


def portable(kernel, *arguments, **options):
    with arithmetic(xp):
        return kernel.reference(*arguments, xp=xp, **options)


def by_triton(kernel, send, *arguments, **options):
    """Return what the kernel's native function of this module gives, as NumPy's."""
    modules = [native.source for native in kernel.natives["torch"]]
    native = kernel.natives["torch"][modules.index("qcore.backends.torch.search")]

    def sent(x):
        return send(x) if isinstance(x, np.ndarray) else x

    keywords = {name: sent(x) for name, x in options.items()}
    return native.function(*map(sent, arguments), **keywords).cpu().numpy()


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


@every_format
def test_symmetric_errors_equal_the_portable_ones(send, most, name):
    slots = most(4096, 64)
    fmt, counts = parse_format(name), channels(slots)
    number = most(700, 150)
    steps = np.linspace(1, 2 * slots, number)[None] / fmt.max
    allowed = np.arange(number) < np.asarray([[number], [number // 3]] * 3)
    arguments = counts, steps, allowed, fmt
    found = by_triton(step_search.search_symmetric, send, *arguments)
    expected = portable(step_search.search_symmetric, *arguments)
    assert_the_best_are_found(found, expected, counts, is_difference=not is_fine(fmt))


@pytest.mark.slow
@every_number(3, 15, 255, 511, 65535)
def test_affine_errors_equal_the_portable_ones(send, most, codes):
    slots = most(512, 80)
    counts = channels(slots)
    steps = np.arange(1, 2 * slots + 1)[None] / codes
    allowed = np.arange(2 * slots) < np.asarray([[2 * slots], [slots]] * 3)
    arguments = counts, steps, allowed, codes
    found = by_triton(step_search.search_affine, send, *arguments)
    expected = portable(step_search.search_affine, *arguments)
    assert_the_best_are_found(found, expected, counts, is_difference=codes < 512)


@pytest.mark.slow
@every_number(3, 15, 255, 65535)
def test_errors_of_ranges_equal_the_portable_ones(send, most, codes):
    counts, rng = channels(256), np.random.default_rng(codes)
    shape = 6, most(300, 140)
    steps = rng.uniform(1, 512, shape) / codes
    below = rng.integers(0, codes + 1, shape).astype(float)
    allowed = rng.random(shape) < 0.8
    arguments = counts, steps, below, allowed, codes
    found = by_triton(search_ranges, send, *arguments)
    expected = portable(search_ranges, *arguments)
    assert_the_best_are_found(found, expected, counts, is_difference=codes < 512)


@pytest.mark.slow
@every_number(3, 15, 255, 65535)
def test_the_best_number_of_codes_below_zero_is_the_portable_one(send, codes):
    counts, rng = channels(256), np.random.default_rng(codes)
    steps, reach = rng.uniform(1, 512, (6, 1)) / codes, rng.uniform(0, 256, (6, 2))
    arguments = counts, steps, reach, NOISE * moments(counts), codes
    np.testing.assert_array_equal(
        by_triton(best_split, send, *arguments), portable(best_split, *arguments)
    )


@pytest.mark.parametrize("codes", [None, 15])
def test_most_of_many_steps_are_left_out(send, codes):
    counts, every = channels(512)[[0, 5]], np.ones((2, 1000), np.bool_)
    steps, search = np.linspace(0.5, 1000, 1000)[None] / 15, step_search.search_affine
    if codes is None:
        search, codes = step_search.search_symmetric, parse_format("int4")
    found = by_triton(search, send, counts, steps, every, codes)
    assert 0 < np.isfinite(found).sum() < 300
    expected = portable(search, counts, steps, every, codes)
    assert_the_best_are_found(found, expected, counts)


def test_steps_of_each_channel_in_any_order_have_the_same_errors(send):
    fmt, counts = parse_format("int4"), channels(128)
    steps = np.random.default_rng(0).uniform(0.1, 20, (6, 200))
    steps[:, 50:100] = steps[:, :50]
    allowed = np.random.default_rng(1).random((6, 200)) < 0.7
    arguments = counts, steps, allowed, fmt
    found = by_triton(step_search.search_symmetric, send, *arguments)
    expected = portable(step_search.search_symmetric, *arguments)
    assert_the_best_are_found(found, expected, counts)


def test_one_step_of_one_channel_has_its_error(send):
    counts, one = counts_of("bell", 1024)[None], np.ones((1, 1), np.bool_)
    arguments = counts, np.asarray([[7.5]]), one, parse_format("int8")
    found = by_triton(step_search.search_symmetric, send, *arguments)
    expected = portable(step_search.search_symmetric, *arguments)
    np.testing.assert_allclose(found, expected, 1e-9)


def test_nothing_allowed_leaves_all_infinite(send):
    counts, none = channels(64), np.zeros((6, 9), np.bool_)
    steps = np.arange(1.0, 10)[None]
    found = by_triton(step_search.search_affine, send, counts, steps, none, 15)
    assert np.all(found == np.inf)


def even(groups):
    return tuple(k / groups for k in range(groups + 1))


FLOAT_CELLS = 0.0, 0.05, 0.11, 0.3, 0.55, 0.8, 1.0


@pytest.mark.slow
@pytest.mark.parametrize("is_one_sided", [True, False])
@pytest.mark.parametrize(
    "cells",
    [*map(even, (2, 3, 7, 16, *((128, 256) if HAS_GPU else ()), 2048)), FLOAT_CELLS],
    ids=lambda cells: str(len(cells) - 1),
)
def test_divergences_equal_the_portable_ones(send, most, cells, is_one_sided):
    slots = most(4096, 256) if len(cells) < 300 else 64
    counts, reach = channels(slots), np.arange(2, slots + 1)[None]
    line = counts[:, 1] if is_one_sided else counts.reshape(6, -1)
    first, last = np.zeros_like(reach), reach
    if not is_one_sided:
        first, last = slots - reach, slots + np.minimum(reach, slots // 2)
    allowed = np.random.default_rng(0).random((6, slots - 1)) < 0.8
    allowed[0], allowed[1, :-9] = True, False
    arguments = line, first, last, allowed
    found = by_triton(divergence.merged_information, send, *arguments, cells)
    expected = portable(divergence.merged_information, *arguments, cells)
    np.testing.assert_allclose(found[allowed], expected[allowed], 1e-11)
    options = {"beside": np.asarray([0, 5, 0, 2**50, 0, 1]), "cells": cells}
    found = by_triton(divergence.divergence, send, *arguments, **options)
    expected = portable(divergence.divergence, *arguments, **options)
    np.testing.assert_allclose(found[allowed], expected[allowed], 1e-9, 1e-11)


@every_format
@pytest.mark.parametrize("symmetric", [True, False])
def test_balance_equals_the_portable_one(send, name, symmetric):
    if (name, symmetric) not in SPECS:
        pytest.skip("floats are symmetric")
    spec, counts = QuantSpec(name, symmetric=symmetric), channels(256)
    above = np.arange(1.0, 257)[None]
    below = above if symmetric else np.minimum(above, 99.5)
    arguments = counts, below, above, spec
    np.testing.assert_array_equal(
        by_triton(balance.is_balanced, send, *arguments),
        portable(balance.is_balanced, *arguments),
    )


def histograms(send, bins):
    """Return the histogram of channels of all kinds, by NumPy and by PyTorch."""
    rows = np.random.default_rng(0).standard_normal((6, 2999)).astype(np.float32)
    rows[1], rows[2] = 0, np.maximum(rows[2], 0)
    rows[3, 7], rows[4], rows[5] = 1000, -2.5, np.rint(rows[5] * 3)
    settings = {"bins": bins, "granularity": qcore.PerChannel(0)}
    return [qcore.Histogram.of(x, **settings) for x in (rows, send(rows))]


SEVERAL = {"methods": ["minmax", "mse", "entropy", "hfmg"]}
METHODS = [
    ("percentile", {}, "int4", True),
    ("entropy", {}, "float4_e2m1fn", True),
    ("entropy", {"stride": 7, "start_bin": 5}, "uint4", False),
    ("mse", {}, "uint4", False),
    ("mse", {"stride": 7, "start_bin": 5}, "int4", True),
    ("hfmg", {}, "int16", False),
    ("floating", {}, "float4_e2m1fn", True),
    ("ifmr", {"search_step": 0.1}, "int4", False),
    ("ifmr", {}, "int2", False),
    ("minmax", {}, "uint4", True),
    ("auto", SEVERAL, "int16", True),
    ("auto", {}, "int4", True),
]
"""Methods, their options, and the format and symmetry for the interpreter."""
CASES = [
    (method, options, *spec)
    for method, options, *few in METHODS
    for spec in (SPECS if HAS_GPU else [few])
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "options", "name", "symmetric"),
    CASES,
    ids=[f"{method}{len(o)}-{name}-{is_}" for method, o, name, is_ in CASES],
)
def test_methods_choose_the_ranges_that_numpy_does(
    send, most, method, options, name, symmetric
):
    theirs, ours = histograms(send, most(2048, 32))
    spec = QuantSpec(name, symmetric=symmetric)
    found = qcore.compute_range(ours, spec, method, **options)
    expected = qcore.compute_range(theirs, spec, method, **options)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.cpu().numpy(), other)


def test_the_order_of_rows_is_kept_as_on_numpy(send):
    rows = np.random.default_rng(0).standard_normal((500, 10)).astype(np.float32)
    theirs, ours = (qcore.Top2.of(x) for x in (rows, send(rows)))
    found = qcore.compute_range(ours, QuantSpec("int8"), "isotone")
    expected = qcore.compute_range(theirs, QuantSpec("int8"), "isotone")
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.cpu().numpy(), other)


@pytest.mark.parametrize("most_bytes", [1, 1 << 20])
def test_entries_by_the_block_have_the_same_ranges(send, monkeypatch, most_bytes):
    monkeypatch.setattr(native_solve, "MOST", most_bytes)
    theirs, ours = histograms(send, 64)
    rest = QuantSpec("int8"), find_method("percentile"), ()
    found = by_triton(solve, send, ours.min, ours, *rest)
    np.testing.assert_array_equal(found, portable(solve, theirs.min, theirs, *rest))
