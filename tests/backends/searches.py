"""Counts that are hard to search, and when what a search finds is right."""

from functools import cache

import numpy as np
from array_api_compat import numpy as xp

from qcore import QuantSpec, parse_format
from qcore.libraries import arithmetic
from qcore.methods.ends import TIE
from qcore.methods.squared_error import NOISE

FORMATS = (
    *("int2", "int4", "uint4", "int8", "uint8", "int16"),
    *("float4_e2m1fn", "float8_e4m3fn"),
)
SPECS = [
    (name, symmetric)
    for name in FORMATS
    for symmetric in (True, False)
    if symmetric or "float" not in name  # which are symmetric
]

KINDS = ("random", "sparse", "one", "huge", "empty", "far", "bell")
CHANNELS = len(KINDS)
BESIDE = np.asarray([0, 5, 0, 2**50, 0, 1, 9])
"""Counts of zeros, of which each channel has its own."""
FLOAT_CELLS = 0.0, 0.05, 0.11, 0.3, 0.55, 0.8, 1.0


@cache
def counts_of(kind, slots):
    """Return counts of one channel, ``[2, slots]``."""
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
    if kind == "far":
        x[:, :2], x[0, -1] = 10**6, 1
    if kind == "bell":
        x[:] = 1e9 * np.exp(-(np.linspace(0, 5, slots) ** 2) / 2)
    return x


def channels(slots):
    """Return counts of a channel of each kind."""
    return np.stack([counts_of(kind, slots) for kind in KINDS])


def some(number):
    """Return which of so many candidates of each channel are allowed."""
    return np.random.default_rng(0).random((CHANNELS, number)) < 0.8


def first_of(number, fewer):
    """Return so many candidates, of which every other channel is allowed fewer."""
    allowed = np.where(np.arange(CHANNELS) % 2, fewer, number)
    return np.arange(number) < allowed[:, None]


def moments(counts):
    """Return second moments, ``[C, 1]``."""
    places = np.arange(counts.shape[2]) + 0.5
    return (counts * (places * places + 1 / 12)).sum(axis=(1, 2))[:, None]


def symmetric_case(name, slots, number):
    """Return arguments of `search_symmetric`."""
    fmt = parse_format(name)
    steps = np.linspace(1, 2 * slots, number)[None] / fmt.max
    return channels(slots), steps, first_of(number, number // 3), fmt


def unordered_case():
    """Return arguments of `search_symmetric`: steps of each channel, in any order."""
    steps = np.random.default_rng(0).uniform(0.1, 20, (CHANNELS, 200))
    steps[:, 50:100] = steps[:, :50]
    return channels(128), steps, some(200), parse_format("int4")


def affine_case(codes, slots):
    """Return arguments of `search_affine`."""
    steps = np.arange(1, 2 * slots + 1)[None] / codes
    return channels(slots), steps, first_of(2 * slots, slots), codes


def range_case(codes, number):
    """Return arguments of `search_ranges`."""
    rng, shape = np.random.default_rng(codes), (CHANNELS, number)
    steps = rng.uniform(1, 512, shape) / codes
    below = rng.integers(0, codes + 1, shape).astype(float)
    return channels(256), steps, below, some(number), codes


def split_case(codes):
    """Return arguments of `best_split`."""
    counts, rng = channels(256), np.random.default_rng(codes)
    steps = rng.uniform(1, 512, (CHANNELS, 1)) / codes
    reach = rng.uniform(0, 256, (CHANNELS, 2))
    return counts, steps, reach, NOISE * moments(counts), codes


def balance_case(name, symmetric):
    """Return arguments of `is_balanced`."""
    above = np.arange(1.0, 257)[None]
    below = above if symmetric else np.minimum(above, 99.5)
    return channels(256), below, above, QuantSpec(name, symmetric=symmetric)


def window_case(slots, *, is_one_sided):
    """Return a line for each channel, edges of windows, and which are allowed."""
    counts, reach = channels(slots), np.arange(2, slots + 1)[None]
    line, first, last = counts[:, 1].copy(), np.zeros_like(reach), reach
    if not is_one_sided:
        line = counts.reshape(CHANNELS, -1)
        first, last = slots - reach, slots + np.minimum(reach, slots // 2)
    allowed = some(slots - 1)
    allowed[0], allowed[1, :-9] = True, False
    return line, first, last, allowed


def even(groups):
    """Return edges of groups of equal width."""
    return tuple(k / groups for k in range(groups + 1))


def portable(kernel, *arguments, **options):
    """Return what the portable function of a kernel does on arrays of NumPy."""
    with arithmetic(xp), np.errstate(all="ignore"):
        return kernel.reference(*arguments, xp=xp, **options)


def assert_errors_equal(search, kernel, *arguments, fine=False):
    """Compare the errors that a search finds with those of the portable function."""
    found, expected = search(*arguments), portable(kernel, *arguments)
    assert_the_best_are_found(found, expected, arguments[0], fine=fine)


def assert_the_best_are_found(found, expected, counts, *, fine=False):
    """Compare errors: what the tie rule may choose must be there and right.

    What is left of a large moment is compared as closely as that allows. Nothing is
    taken from one where steps are `fine`.
    """
    noise = NOISE * (not fine) * moments(counts)
    least = expected.min(axis=1, keepdims=True)
    may_win = np.isfinite(expected) & (expected <= least * TIE + noise)
    assert np.all(np.isfinite(found[may_win]))
    there = np.isfinite(found)
    assert not np.any(there & np.isinf(expected))
    close = np.abs(found[there] - expected[there])
    bar = np.broadcast_to(noise, found.shape)[there] + 1e-9 * expected[there]
    assert np.all(close <= bar)
