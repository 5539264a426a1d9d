"""Arguments for every kernel of the core, from a function that makes arrays.

Each function returns a list of calls; the last argument may be a dict of options.
"""

from math import prod

import numpy as np

import qcore
from qcore import parse_format
from qcore.methods.registry import find_method
from tests.backends.hard import rows

BLOCKS = qcore.PerBlock(2, 32)  # the last of 200 elements is short
ALLOWED = np.arange(40) < [[40], [25]]


def data():
    return rows(3, 70_000)


def counts(seed=0):
    """Return counts of two channels: a bell, and one beside which most is empty."""
    rng = np.random.default_rng(seed)
    bell = 1e6 * np.exp(-(np.linspace(0, 6, 512) ** 2) / 2)
    sparse = rng.integers(0, 9, 512) * (rng.random(512) < 0.1)
    return np.stack([[bell, bell * 0.7], [sparse, np.zeros(512)]]).astype(np.int64)


def divisions(array):
    x = data()[2]
    scale = np.random.default_rng(1).uniform(0.01, 0.1, (3, 1)).astype(np.float32)
    return [(array(data()), array(scale)), (array(x), array(np.float32(0.0371)))]


def quantizations(array):
    """Return data of all kinds with a scale a row, a block, a column or for all."""
    x = data()
    scale, zero = np.float32([[0.02], [0.5], [0.0371]]), np.int32([[0], [3], [-9]])
    rows, columns = qcore.PerChannel(0), qcore.PerChannel(1)
    cases = [
        (x, scale, zero, {"format": "int8", "symmetric": False}, rows),
        (x, scale, np.abs(zero), {"format": "uint16", "symmetric": False}, rows),
        (x, scale, 0 * zero, {"format": "float8_e4m3fn"}, rows),
        (x, scale, zero, {"rounding": "half_away", "symmetric": False}, rows),
        (x, scale, zero * 0, {"format": "float8_e5m2", "rounding": "up"}, rows),
        (x[0], np.float32(0.0371), np.int32(0), {"format": "int4"}, qcore.PerTensor()),
        (x[2].reshape(7, 50, 200), *_scales(7, 50, 7), {"format": "int4"}, BLOCKS),
        (x[0].reshape(700, 100), *_scales(1, 100), {}, columns),
        (x[0].reshape(7, 100, 100), *_scales(7, 1, 100), {}, qcore.PerChannel((0, 2))),
        (x[0].astype(np.float16), *_scales(1), {}, qcore.PerTensor()),
        (x[0].astype(np.float64), *_scales(1), {}, qcore.PerTensor()),
        (x[:2, :0], *_scales(2, 1), {}, rows),
    ]
    small = ("float8_e5m2", "float6_e2m3fn", "float6_e3m2fn", "float4_e2m1fn")
    cases += [(x, scale, 0 * zero, {"format": name}, rows) for name in small]
    return [
        (array(x), array(scale), array(zero), qcore.QuantSpec(granularity=g, **spec))
        for x, scale, zero, spec, g in cases
    ]


def _scales(*shape):
    scale = np.random.default_rng(8).uniform(0.01, 0.1, shape)
    return scale.astype(np.float32), np.zeros(shape, np.int32)


def gradients(array):
    return [
        (
            array(np.cos(np.arange(prod(x.shape), dtype=np.float32)).reshape(x.shape)),
            *rest,
        )
        for x, rest in ((args[0], args) for args in quantizations(array))
    ]


def tallies(array):
    keep = np.random.default_rng(2).random((3, 70_000)) < 0.5
    weights = np.random.default_rng(3).integers(0, 2**20, (3, 70_000))
    x = array(data())
    with np.errstate(invalid="ignore"):  # NaN of all kinds
        wide = array(data().astype(np.float64) * 1e3)
    return [
        (x, None, None, 4096, None),
        (x, None, None, 4096, array(np.int32([-12, 100, -126]))),
        (x, array(keep), None, 64, None),
        (x, None, array(weights), 64, None),
        (array(np.zeros((2, 0), np.float32)), None, None, 64, array(np.int32([3, 4]))),
        (wide, None, None, 64, None),
    ]


def countings(array):
    index = np.random.default_rng(4).integers(0, 101, 5000)
    weights = np.random.default_rng(5).integers(0, 2**55, 5000)
    return [(array(index), None, 100), (array(index), array(weights), 100)]


def regriddings(array):
    exponents = np.zeros((2, 2, 256), np.int64)
    k = np.int32([-3, 4])
    steps = [k, k + 1, k + np.int32([0, 200])]
    return [(*map(array, (counts(), exponents, k, new_k)),) for new_k in steps]


def mergings(array):
    line = counts()[:, 1]
    first, last = np.zeros((1, 385), np.int64), np.arange(128, 513)[None]
    cells = [
        tuple(k / 128 for k in range(129)),
        tuple((k / 30) ** 2 for k in range(31)),
    ]
    every = np.ones((2, 385), np.bool_)
    return [
        (array(line), array(first), array(last), array(allowed), c)
        for c in cells
        for allowed in (every, every & (last > [[300], [800]]))
    ]


def divergences(array):
    beside = array(np.int64([3, 0]))
    return [
        (*rest, {"beside": beside, "cells": cells}) for *rest, cells in mergings(array)
    ]


def balances(array):
    above = array(np.arange(1.0, 513)[None])
    specs = [
        qcore.QuantSpec("int8"),
        qcore.QuantSpec("uint8", symmetric=False),
        qcore.QuantSpec("float8_e4m3fn"),
    ]
    return [(array(counts()), above, above, spec) for spec in specs]


def splits(array):
    steps, reach = [[1.5], [3.25]], [[500.0, 350.0], [512.0, 0.0]]
    rest = (array(np.asarray(x)) for x in (steps, reach, [[1e-3], [0.0]]))
    return [(array(counts()), *rest, 255)]


def symmetric_searches(array):
    steps = np.linspace(0.1, 5, 40)[None]
    formats = map(parse_format, ("int8", "uint8", "float4_e2m1fn", "int16"))
    return [(array(counts()), array(steps), array(ALLOWED), fmt) for fmt in formats]


def affine_searches(array):
    steps = np.linspace(0.1, 5, 40)[None]
    sizes = (15, 255, 65535)
    return [(array(counts()), array(steps), array(ALLOWED), codes) for codes in sizes]


def range_searches(array):
    steps = np.linspace(0.1, 5, 80).reshape(2, 40)
    below = np.arange(80.0).reshape(2, 40) % 15
    rest = array(steps), array(below), array(ALLOWED)
    return [(array(counts()), *rest, codes) for codes in (15, 255, 65535)]


def blocks(array):
    return [(array(np.arange(12.0).reshape(3, 4)), lambda block: block * 2)]


def foldings(array):
    start, items = array(np.arange(3.0)), array(np.arange(12.0).reshape(4, 3))
    return [(start, items, lambda state, item: 2 * state + item)]


def gatherings(array):
    table = np.random.default_rng(6).random((2, 50))
    index = np.random.default_rng(7).integers(0, 50, (2, 5, 4))
    return [(array(table), array(i)) for i in (index, index[:1], index[:, 0])]


def hosts(array):
    return [(array(data()),), (array(np.int64([2**60])),)]


def orders(array):
    x = data()[:, :6000].reshape(3, 600, 10)
    keep = np.random.default_rng(2).random(x.shape) < 0.8
    keep &= np.isfinite(x)
    none = np.zeros((2, 0, 10), np.float32)
    return [(array(x), array(keep), 127), (array(none), None, 7)]


def solutions(array):
    """Return states of few entries and of more than are solved at once."""
    x = array(np.nan_to_num(data()))
    states = [
        qcore.Histogram.of(x, bins=bins, granularity=qcore.PerChannel(0))
        for bins in (64, 8192)
    ]
    method = find_method("percentile")
    options = (("percentile", 99.0),)
    return [(h.min, h, qcore.QuantSpec(), method, options) for h in states]


def codes(array):
    rng = np.random.default_rng(5)
    cases = [
        (rng.integers(-b, b + 1, s), b)
        for b, s in (
            (128, (1, 40, 2500)),
            (255, (3, 9, 700)),
            (65535, (1, 3, 90)),
            (15, (2, 0, 4)),
        )
    ]
    return [(array(x.astype(np.float32)), bound) for x, bound in cases]


def images(array):
    rng = np.random.default_rng(6)
    x = rng.integers(0, 256, (5, 4, 9, 8)).astype(np.uint8)
    keep = np.array([1, 0, 1, 1, 1], bool)
    window = qcore.Window((3, 3), 2, padding=1, groups=2)
    zero = array(np.int32(9))
    return [
        (array(x), zero, array(keep), window, 255),
        (array(x[:, :, 0, 0]), zero, None, qcore.Window(), 255),
    ]


def turns(array):
    rng = np.random.default_rng(4)
    cases = []
    for shape, fmt in (((1, 37, 9), "int4"), ((6, 5, 2), "float8_e4m3fn")):
        rows = 3 * rng.standard_normal(shape)
        feedback = np.triu(rng.standard_normal((shape[0], shape[1], shape[1])), 1)
        grid = rng.uniform(0.1, 0.3, shape), rng.integers(0, 1, shape, np.int32)
        arrays = (rows, 0.3 * feedback + np.eye(shape[1]), *grid)
        cases.append((*(array(x) for x in arrays), parse_format(fmt), None))
    limits = array(-grid[0]), array(2 * grid[0])
    cases.append((*cases[-1][:-1], limits))
    return cases


def compensations(array):
    rng = np.random.default_rng(3)
    cases = []
    for shape, reorder in (((1, 37, 9), True), ((6, 5, 2), False)):
        x = rng.standard_normal((shape[0], 50, shape[1]))
        scale = rng.uniform(0.1, 0.3, shape)
        zero = rng.integers(-2, 3, shape, np.int32)
        arrays = (rng.standard_normal(shape), np.swapaxes(x, 1, 2) @ x, scale, zero)
        damping, fmt = np.full(shape[0], 0.01), parse_format("int4")
        cases.append((*(array(a) for a in arrays), fmt, array(damping), reorder, None))
        limits = array(-2 * scale), array(scale)
        cases.append((*cases[-1][:-1], limits))
    return cases


ARGUMENTS = {
    "solve": solutions,
    "order_intervals": orders,
    "divide": divisions,
    "quantize_data": quantizations,
    "fake_quantize_data": quantizations,
    "fake_quantize_gradient": gradients,
    "tally": tallies,
    "count": countings,
    "regrid": regriddings,
    "merged_information": mergings,
    "divergence": divergences,
    "is_balanced": balances,
    "best_split": splits,
    "search_symmetric": symmetric_searches,
    "search_affine": affine_searches,
    "search_ranges": range_searches,
    "gather": gatherings,
    "exact_products": codes,
    "sums_of_products": images,
    "round_in_turn": turns,
    "compensated_codes": compensations,
    "map_blocks": blocks,
    "fold": foldings,
    "to_host": hosts,
}
