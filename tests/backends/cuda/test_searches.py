"""The searches in CUDA C find what the portable ones do, in hard rows of counts.

On the CPU by the emulator, and on a GPU by the libraries that see one.
"""

from functools import partial
from importlib import import_module

import numpy as np
import pytest
from array_api_compat import numpy as xp

from qcore import QuantSpec, parse_format
from qcore.backends.cuda import entropy, errors, search
from qcore.kernels import Declined
from qcore.libraries import arithmetic
from qcore.methods.balance import is_balanced
from qcore.methods.divergence import divergence, merged_information
from qcore.methods.ends import TIE
from qcore.methods.mse import best_split
from qcore.methods.range_search import search_ranges
from qcore.methods.squared_error import MANY_CODES, NOISE, is_fine
from qcore.methods.step_search import search_affine, search_symmetric

FORMATS = [
    *("int2", "int4", "uint4", "int8", "uint8", "int16", "uint16"),
    *("float4_e2m1fn", "float8_e4m3fn", "float8_e5m2"),
]
SPECS = [
    (name, symmetric)
    for name in FORMATS
    for symmetric in (True, False)
    if symmetric or "float" not in name
]


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


def rows(slots):
    """Return counts that are random, sparse, one, huge, none, far out, and a bell."""
    rng = np.random.default_rng(slots)
    counts = np.zeros((7, 2, slots), np.int64)
    counts[0] = rng.integers(0, 1000, (2, slots))
    counts[1] = rng.integers(1, 9, (2, slots)) * (rng.random((2, slots)) < 0.05)
    counts[2, 1, slots // 3] = 7
    counts[3] = rng.integers(0, 2**52, (2, slots)) * (rng.random((2, slots)) < 0.5)
    counts[5, :, :2], counts[5, 0, -1] = 10**6, 1
    counts[6] = 1e9 * np.exp(-(np.linspace(0, 5, slots) ** 2) / 2)
    return counts


def portable(kernel, *given, **named):
    with arithmetic(xp), np.errstate(all="ignore"):
        return kernel.reference(*given, xp=xp, **named)


def assert_errors_equal(run, launcher, kernel, *given, fine):
    """Compare errors: all that the tie rule may choose are there, and all are right.

    What is left of a large moment is compared as closely as that allows.
    """
    found, expected = run(launcher, *given), portable(kernel, *given)
    noise = np.broadcast_to((not fine) * NOISE * moments(given[0]), found.shape)
    least = expected.min(axis=1, keepdims=True)
    may_win = np.isfinite(expected) & (expected <= least * TIE + noise)
    there = np.isfinite(found)
    assert np.all(there[may_win])
    assert np.all(np.isfinite(expected[there]))
    close = np.abs(found[there] - expected[there])
    assert np.all(close <= noise[there] + 1e-9 * expected[there])


def moments(counts):
    middle = np.arange(counts.shape[2]) + 0.5
    return (counts * (middle**2 + 1 / 12)).sum(axis=(1, 2))[:, None]


def some(shape, seed=0):
    return np.random.default_rng(seed).random(shape) < 0.8


@pytest.mark.parametrize("slots", [64, 301])
@pytest.mark.parametrize("name", FORMATS)
def test_symmetric_errors_equal_the_portable_ones(run, name, slots):
    fmt = parse_format(name)
    steps = np.linspace(0.5, 2 * slots, 150)[None] / fmt.max
    given = rows(slots), steps, some((7, 150)), fmt
    check = partial(assert_errors_equal, fine=is_fine(fmt))
    check(run, search.search_symmetric, search_symmetric, *given)


@pytest.mark.parametrize("codes", [1, 3, 15, 255, 511, 65535])
def test_affine_errors_equal_the_portable_ones(run, codes):
    steps = np.arange(1.0, 160)[None] / codes
    given = rows(80), steps, some((7, 159)), codes
    check = partial(assert_errors_equal, fine=codes > MANY_CODES)
    check(run, search.search_affine, search_affine, *given)


@pytest.mark.parametrize("codes", [None, 15])
def test_most_of_many_steps_are_left_out(run, codes):
    steps, every = np.linspace(0.5, 600, 1000)[None] / 15, np.ones((7, 1000), np.bool_)
    launcher, kernel = search.search_affine, search_affine
    if codes is None:
        launcher, kernel = search.search_symmetric, search_symmetric
        codes = parse_format("int4")
    given = rows(301), steps, every, codes
    assert_errors_equal(run, launcher, kernel, *given, fine=False)
    found = np.isfinite(run(launcher, *given)).sum(axis=1)
    assert np.all(found[[0, 6]] < 300)


def test_steps_in_any_order_are_all_looked_at(run):
    steps = np.random.default_rng(3).uniform(0.1, 20, (1, 200))
    given = rows(64), steps, np.ones((7, 200), np.bool_), parse_format("int4")
    check = partial(assert_errors_equal, fine=False)
    check(run, search.search_symmetric, search_symmetric, *given)
    assert np.all(np.isfinite(run(search.search_symmetric, *given)))


@pytest.mark.parametrize("name", ["int4", "uint8"])
def test_more_candidates_than_a_block_has_memory_for_are_all_looked_at(device, name):
    device.shared_of_block = 300
    steps, fmt = np.linspace(0.1, 20, 200)[None], parse_format(name)
    given = rows(64), steps, some((7, 200)), fmt
    found = search.search_symmetric(device, *given)
    np.testing.assert_array_equal(np.isfinite(found), given[2])
    given = rows(64), steps, some((7, 200)), 15
    found = search.search_affine(device, *given)
    np.testing.assert_array_equal(np.isfinite(found), given[2])
    assert "symmetric_errors" in device.launched
    assert "affine_errors" in device.launched


@pytest.mark.parametrize("codes", [3, 15, 255, 65535])
def test_errors_of_ranges_equal_the_portable_ones(run, codes):
    rng = np.random.default_rng(codes)
    steps = rng.uniform(0.01, 160, (7, 100)) / codes
    below = rng.integers(0, codes + 1, (7, 100)).astype(float)
    given = rows(80), steps, below, some((7, 100)), codes
    check = partial(assert_errors_equal, fine=codes > MANY_CODES)
    check(run, errors.search_ranges, search_ranges, *given)


def test_every_channel_may_have_steps_of_its_own(run):
    steps = np.random.default_rng(1).uniform(0.1, 20, (7, 90))
    given = rows(64), steps, some((7, 90)), parse_format("int4")
    check = partial(assert_errors_equal, fine=False)
    check(run, search.search_symmetric, search_symmetric, *given)


@pytest.mark.parametrize("codes", [3, 255, 65535])
def test_the_best_number_of_codes_below_zero_is_the_portable_one(run, codes):
    counts, rng = rows(256), np.random.default_rng(codes)
    steps, reach = rng.uniform(1, 512, (7, 1)) / codes, rng.uniform(0, 256, (7, 2))
    given = counts, steps, reach, NOISE * moments(counts), codes
    found = run(errors.best_split, *given)
    np.testing.assert_array_equal(found, portable(best_split, *given))


@pytest.mark.parametrize(("name", "symmetric"), SPECS)
def test_balance_equals_the_portable_one(run, name, symmetric):
    above = np.arange(1.0, 257)[None]
    below = above if symmetric else np.minimum(above, 99.5)
    given = rows(256), below, above, QuantSpec(name, symmetric=symmetric)
    found = run(errors.is_balanced, *given)
    np.testing.assert_array_equal(found, portable(is_balanced, *given))


def even(groups):
    return tuple(k / groups for k in range(groups + 1))


@pytest.mark.parametrize("is_one_sided", [True, False])
@pytest.mark.parametrize(
    "cells",
    [*map(even, (2, 3, 7, 16, 128, 256, 5000)), (0.0, 0.05, 0.11, 0.3, 0.55, 0.8, 1.0)],
    ids=lambda cells: str(len(cells) - 1),
)
def test_divergences_equal_the_portable_ones(run, cells, is_one_sided):
    slots = 200
    counts, reach = rows(slots), np.arange(2, slots + 1)[None]
    line = counts[:, 1] if is_one_sided else counts.reshape(7, -1)
    first, last = np.zeros_like(reach), reach
    if not is_one_sided:
        first, last = slots - reach, slots + np.minimum(reach, slots // 2)
    allowed = some((7, slots - 1))
    given = np.ascontiguousarray(line), first, last, allowed
    found = run(entropy.merged_information, *given, cells)
    expected = portable(merged_information, *given, cells)
    np.testing.assert_allclose(found[allowed], expected[allowed], 1e-11)
    named = {"beside": np.asarray([0, 5, 0, 2**50, 0, 1, 9]), "cells": cells}
    found = run(entropy.divergence, *given, **named)
    expected = portable(divergence, *given, **named)
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
    steps, every = np.linspace(0.5, 9, 40)[None].copy(), np.ones((7, 40), np.bool_)
    steps[0, [0, 17]] = np.nan
    given = rows(64), steps, every
    for found in (
        run(search.search_symmetric, *given, parse_format("int4")),
        run(search.search_affine, *given, 15),
    ):
        assert np.all(np.isnan(found[:, [0, 17]]))


def test_nothing_to_choose_from_is_declined(device):
    none, counts = np.ones((1, 0)), rows(64)
    allowed = np.ones((7, 0), np.bool_)
    found = search.search_affine(device, counts, none, allowed, 15)
    assert found == Declined("none or too many candidates")
