"""The searches in CUDA C find what the portable ones do, in hard rows of counts.

On the CPU by the emulator, and on a GPU by the libraries that see one.
"""

from functools import partial
from importlib import import_module

import numpy as np
import pytest

from qcore import parse_format
from qcore.backends.cuda import entropy, errors, search
from qcore.kernels import Declined
from qcore.methods.balance import is_balanced
from qcore.methods.divergence import divergence, merged_information
from qcore.methods.mse import best_split
from qcore.methods.range_search import search_ranges
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
    balance_case,
    channels,
    even,
    portable,
    range_case,
    some,
    split_case,
    symmetric_case,
    unordered_case,
    window_case,
)

MORE_FORMATS = (*FORMATS, "uint16", "float8_e5m2")
MORE_SPECS = [*SPECS, ("uint16", True), ("uint16", False), ("float8_e5m2", True)]


def by_torch():
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("torch sees no GPU")
    module = import_module("qcore.backends.torch.cuda")
    return module.on_device, lambda x: torch.tensor(x, device="cuda")


def by_cupy():
    cupy = pytest.importorskip("cupy")
    if not cupy.is_available():
        pytest.skip("cupy sees no GPU")
    return import_module("qcore.backends.cupy.device").on_device, cupy.asarray


WAYS = {"torch": by_torch, "cupy": by_cupy}


@pytest.fixture(
    params=["emulator", *(pytest.param(name, marks=pytest.mark.gpu) for name in WAYS)]
)
def run(request):
    """A function that calls a launcher on a device, with and for arrays of NumPy."""
    if request.param == "emulator":
        device = request.getfixturevalue("device")
        return lambda launcher, *given, **named: launcher(device, *given, **named)
    on_device, put = WAYS[request.param]()

    def there(x):
        return put(x) if isinstance(x, np.ndarray) else x

    def call(launcher, *given, **named):
        named = {name: there(x) for name, x in named.items()}
        found = on_device(launcher, *map(there, given), **named)
        assert not isinstance(found, Declined), found.reason
        return found.get() if hasattr(found, "get") else found.cpu().numpy()

    return call


@pytest.mark.parametrize("slots", [64, 301])
@pytest.mark.parametrize("name", MORE_FORMATS)
def test_symmetric_errors_equal_the_portable_ones(run, name, slots):
    arguments, fine = symmetric_case(name, slots, 150), is_fine(parse_format(name))
    ours = partial(run, search.search_symmetric)
    assert_errors_equal(ours, search_symmetric, *arguments, fine=fine)


@pytest.mark.parametrize("codes", [1, 3, 15, 255, 511, 65535])
def test_affine_errors_equal_the_portable_ones(run, codes):
    arguments, fine = affine_case(codes, 80), codes > MANY_CODES
    ours = partial(run, search.search_affine)
    assert_errors_equal(ours, search_affine, *arguments, fine=fine)


@pytest.mark.parametrize("codes", [None, 15])
def test_most_of_many_steps_are_left_out(run, codes):
    steps, every = (
        np.linspace(0.5, 600, 1000)[None] / 15,
        np.ones((CHANNELS, 1000), np.bool_),
    )
    ours, kernel = partial(run, search.search_affine), search_affine
    if codes is None:
        ours, kernel = partial(run, search.search_symmetric), search_symmetric
        codes = parse_format("int4")
    arguments = channels(301), steps, every, codes
    assert_errors_equal(ours, kernel, *arguments)
    found = np.isfinite(ours(*arguments)).sum(axis=1)
    assert np.all(found[[0, -1]] < 300)


def test_steps_in_any_order_are_all_looked_at(run):
    steps = np.random.default_rng(3).uniform(0.1, 20, (1, 200))
    every = np.ones((CHANNELS, 200), np.bool_)
    arguments = channels(64), steps, every, parse_format("int4")
    ours = partial(run, search.search_symmetric)
    assert_errors_equal(ours, search_symmetric, *arguments)
    assert np.all(np.isfinite(ours(*arguments)))


@pytest.mark.parametrize("name", ["int4", "uint8"])
def test_more_candidates_than_a_block_has_memory_for_are_all_looked_at(device, name):
    device.shared_of_block = 300
    steps, fmt = np.linspace(0.1, 20, 200)[None], parse_format(name)
    given = channels(64), steps, some(200), fmt
    found = search.search_symmetric(device, *given)
    np.testing.assert_array_equal(np.isfinite(found), given[2])
    given = channels(64), steps, some(200), 15
    found = search.search_affine(device, *given)
    np.testing.assert_array_equal(np.isfinite(found), given[2])
    assert "symmetric_errors" in device.launched
    assert "affine_errors" in device.launched


@pytest.mark.parametrize("codes", [3, 15, 255, 65535])
def test_errors_of_ranges_equal_the_portable_ones(run, codes):
    arguments, fine = range_case(codes, 100), codes > MANY_CODES
    ours = partial(run, errors.search_ranges)
    assert_errors_equal(ours, search_ranges, *arguments, fine=fine)


def test_every_channel_may_have_steps_of_its_own(run):
    ours = partial(run, search.search_symmetric)
    assert_errors_equal(ours, search_symmetric, *unordered_case())


@pytest.mark.parametrize("codes", [3, 255, 65535])
def test_the_best_number_of_codes_below_zero_is_the_portable_one(run, codes):
    arguments = split_case(codes)
    found = run(errors.best_split, *arguments)
    np.testing.assert_array_equal(found, portable(best_split, *arguments))


@pytest.mark.parametrize(("name", "symmetric"), MORE_SPECS)
def test_balance_equals_the_portable_one(run, name, symmetric):
    arguments = balance_case(name, symmetric)
    found = run(errors.is_balanced, *arguments)
    np.testing.assert_array_equal(found, portable(is_balanced, *arguments))


@pytest.mark.parametrize("is_one_sided", [True, False])
@pytest.mark.parametrize(
    "cells",
    [*map(even, (2, 3, 7, 16, 128, 256, 5000)), FLOAT_CELLS],
    ids=lambda cells: str(len(cells) - 1),
)
def test_divergences_equal_the_portable_ones(run, cells, is_one_sided):
    *_, allowed = arguments = window_case(200, is_one_sided=is_one_sided)
    found = run(entropy.merged_information, *arguments, cells)
    expected = portable(merged_information, *arguments, cells)
    np.testing.assert_allclose(found[allowed], expected[allowed], 1e-11)
    named = {"beside": BESIDE, "cells": cells}
    found = run(entropy.divergence, *arguments, **named)
    expected = portable(divergence, *arguments, **named)
    np.testing.assert_allclose(found[allowed], expected[allowed], 1e-9, 1e-11)
    assert np.all(found[~allowed] == np.inf)


def test_windows_that_hold_all_of_huge_counts_leave_no_outliers(run):
    line = np.zeros((1, 700), np.int64)
    line[0, :500] = np.random.default_rng(0).integers(2**50, 2**52, 500)
    last = np.arange(450, 701)[None]
    given = line, np.zeros_like(last), last, np.ones((1, 251), np.bool_)
    named = {"beside": np.zeros(1, np.int64), "cells": even(16)}
    found = run(entropy.divergence, *given, **named)
    assert np.all(np.isfinite(found[0, 50:]))
    np.testing.assert_allclose(
        found, portable(divergence, *given, **named), 1e-9, 1e-11
    )


def test_a_step_that_is_no_number_has_no_error(run):
    steps, every = (
        np.linspace(0.5, 9, 40)[None].copy(),
        np.ones((CHANNELS, 40), np.bool_),
    )
    steps[0, [0, 17]] = np.nan
    given = channels(64), steps, every
    for found in (
        run(search.search_symmetric, *given, parse_format("int4")),
        run(search.search_affine, *given, 15),
    ):
        assert np.all(np.isnan(found[:, [0, 17]]))


def test_nothing_to_choose_from_is_declined(device):
    none, counts = np.ones((1, 0)), channels(64)
    allowed = np.ones((CHANNELS, 0), np.bool_)
    found = search.search_affine(device, counts, none, allowed, 15)
    assert found == Declined("none or too many candidates")
