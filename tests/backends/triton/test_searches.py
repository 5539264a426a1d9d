"""The searches by Triton find what the portable ones do, on arrays of NumPy.

Interpreted on the CPU where TRITON_INTERPRET is 1, on a GPU where there is one.
"""

import os

import numpy as np
import pytest

import qcore
from qcore import QuantSpec, parse_format
from qcore.libraries import load_backends
from qcore.methods.balance import is_balanced
from qcore.methods.divergence import divergence, merged_information
from qcore.methods.mse import best_split
from qcore.methods.range_search import search_ranges
from qcore.methods.registry import find_method
from qcore.methods.solve import solve
from qcore.methods.squared_error import MANY_CODES, is_fine
from qcore.methods.step_search import search_affine, search_symmetric
from tests.backends.searches import (
    BESIDE,
    CHANNELS,
    FLOAT_CELLS,
    FORMATS,
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

pytest.importorskip("triton")
pytest.importorskip("torch")

import torch

from qcore.backends import entries as native_solve

load_backends("torch")

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


@pytest.fixture
def search(send):
    """A function from a kernel to that by which this module's backend serves it."""

    def of(kernel):
        sources = [native.source for native in kernel.natives["torch"]]
        native = kernel.natives["torch"][sources.index("qcore.backends.torch.search")]

        def sent(x):
            return send(x) if isinstance(x, np.ndarray) else x

        def found(*arguments, **options):
            options = {name: sent(x) for name, x in options.items()}
            return native.function(*map(sent, arguments), **options).cpu().numpy()

        return found

    return of


@every_format
def test_symmetric_errors_equal_the_portable_ones(search, most, name):
    arguments = symmetric_case(name, most(4096, 64), most(700, 150))
    fine = is_fine(parse_format(name))
    assert_errors_equal(
        search(search_symmetric), search_symmetric, *arguments, fine=fine
    )


@pytest.mark.slow
@every_number(3, 15, 255, 511, 65535)
def test_affine_errors_equal_the_portable_ones(search, most, codes):
    arguments, fine = affine_case(codes, most(512, 80)), codes > MANY_CODES
    assert_errors_equal(search(search_affine), search_affine, *arguments, fine=fine)


@pytest.mark.slow
@every_number(3, 15, 255, 65535)
def test_errors_of_ranges_equal_the_portable_ones(search, most, codes):
    arguments, fine = range_case(codes, most(300, 140)), codes > MANY_CODES
    assert_errors_equal(search(search_ranges), search_ranges, *arguments, fine=fine)


@pytest.mark.slow
@every_number(3, 15, 255, 65535)
def test_the_best_number_of_codes_below_zero_is_the_portable_one(search, codes):
    arguments = split_case(codes)
    found = search(best_split)(*arguments)
    np.testing.assert_array_equal(found, portable(best_split, *arguments))


@pytest.mark.parametrize("codes", [None, 15])
def test_most_of_many_steps_are_left_out(search, codes):
    counts, every = channels(512)[[0, -1]], np.ones((2, 1000), np.bool_)
    steps, kernel = np.linspace(0.5, 1000, 1000)[None] / 15, search_affine
    if codes is None:
        kernel, codes = search_symmetric, parse_format("int4")
    found = search(kernel)(counts, steps, every, codes)
    assert 0 < np.isfinite(found).sum() < 300
    expected = portable(kernel, counts, steps, every, codes)
    assert_the_best_are_found(found, expected, counts)


def test_steps_of_each_channel_in_any_order_have_the_same_errors(search):
    assert_errors_equal(search(search_symmetric), search_symmetric, *unordered_case())


def test_one_step_of_one_channel_has_its_error(search):
    counts, one = counts_of("bell", 1024)[None], np.ones((1, 1), np.bool_)
    arguments = counts, np.asarray([[7.5]]), one, parse_format("int8")
    found = search(search_symmetric)(*arguments)
    np.testing.assert_allclose(found, portable(search_symmetric, *arguments), 1e-9)


def test_nothing_allowed_leaves_all_infinite(search):
    counts, none = channels(64), np.zeros((CHANNELS, 9), np.bool_)
    steps = np.arange(1.0, 10)[None]
    found = search(search_affine)(counts, steps, none, 15)
    assert np.all(found == np.inf)


@pytest.mark.slow
@pytest.mark.parametrize("is_one_sided", [True, False])
@pytest.mark.parametrize(
    "cells",
    [*map(even, (2, 3, 7, 16, *((128, 256) if HAS_GPU else ()), 2048)), FLOAT_CELLS],
    ids=lambda cells: str(len(cells) - 1),
)
def test_divergences_equal_the_portable_ones(search, most, cells, is_one_sided):
    slots = most(4096, 256) if len(cells) < 300 else 64
    *_, allowed = arguments = window_case(slots, is_one_sided=is_one_sided)
    found = search(merged_information)(*arguments, cells)
    expected = portable(merged_information, *arguments, cells)
    np.testing.assert_allclose(found[allowed], expected[allowed], 1e-11)
    options = {"beside": BESIDE, "cells": cells}
    found = search(divergence)(*arguments, **options)
    expected = portable(divergence, *arguments, **options)
    np.testing.assert_allclose(found[allowed], expected[allowed], 1e-9, 1e-11)


@every_format
@pytest.mark.parametrize("symmetric", [True, False])
def test_balance_equals_the_portable_one(search, name, symmetric):
    if (name, symmetric) not in SPECS:
        pytest.skip("floats are symmetric")
    arguments = balance_case(name, symmetric)
    found = search(is_balanced)(*arguments)
    np.testing.assert_array_equal(found, portable(is_balanced, *arguments))


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
def test_entries_by_the_block_have_the_same_ranges(
    search, send, monkeypatch, most_bytes
):
    monkeypatch.setattr(native_solve, "MOST", most_bytes)
    theirs, ours = histograms(send, 64)
    rest = QuantSpec("int8"), find_method("percentile"), ()
    found = search(solve)(ours.min, ours, *rest)
    np.testing.assert_array_equal(found, portable(solve, theirs.min, theirs, *rest))
