"""Hard data for the kernels in CUDA C, as arrays of NumPy, and what they must make."""

from dataclasses import dataclass

import numpy as np
from array_api_compat import numpy as xp

from qcore import PerBlock, PerChannel, PerTensor, QuantSpec
from qcore.affine import fake_quantize_data, quantize_data
from qcore.gradient import fake_quantize_gradient
from qcore.statistics.tally import regrid, tally
from tests.backends.hard import DTYPES, STEP, numbers, rows, unaligned


@dataclass
class Case:
    """Arguments of a kernel, and what its portable function returns for them."""

    given: tuple
    expected: tuple


def tally_case(x, slots=64, k=None, keep=False, weights=False):
    rng = np.random.default_rng(5)
    mask = rng.random(x.shape) < 0.5 if keep else None
    amount = rng.integers(0, 2**40, x.shape) if weights else None
    given = (x, mask, amount, slots, None if k is None else np.asarray(k, np.int32))
    with np.errstate(all="ignore"):
        return Case(given, tuple(tally.reference(*given, xp=xp)))


GROWING = [-9, 100, -126, 3]
"""Grids of four rows: too narrow, wide enough, the narrowest."""


def tally_cases(columns=3003):
    x = {dtype: rows(4, columns, dtype) for dtype in DTYPES}
    single = x["float32"]
    cases = {
        f"{dtype}-{name}": tally_case(x[dtype], k=k, keep=keep)
        for dtype in DTYPES
        for name, k, keep in (
            ("range first", None, False),
            ("grid known", GROWING, False),
            ("mask", GROWING, True),
        )
    }
    cases["default slots"] = tally_case(single, 4096)
    cases["grid never left"] = tally_case(single, 4096, [120] * 4)
    cases["global table"] = tally_case(single, 2**17)
    cases["global table, grid known, mask"] = tally_case(single, 2**17, GROWING, True)
    cases["weights"] = tally_case(single, weights=True)
    cases["weights, grid known, mask"] = tally_case(single, 64, GROWING, True, True)
    cases["not aligned"] = tally_case(unaligned(single))
    cases["not aligned float16"] = tally_case(unaligned(x["float16"]), k=GROWING)
    cases["one long row"] = tally_case(rows(1, 5 * columns), 1024, [-6])
    cases["many rows"] = tally_case(rows(200, 64), 4)
    for short in (1, 2, 3, 5, 17, 64):
        cases[f"rows of {short}"] = tally_case(rows(5, short))
    return cases


def regrid_cases():
    rng = np.random.default_rng(6)
    cases = {}
    for slots in (4, 8, 64, 4096):
        counts = rng.integers(0, 2**40, (9, 2, slots))
        counts[rng.random(counts.shape) < 0.3] = 0
        exponents = rng.integers(0, 2**40, (9, 2, 256))
        k = rng.integers(-126, 100, 9).astype(np.int32)
        steps = np.array([0, 1, 2, 3, 5, 6, 7, 12, 26], np.int32)
        highest = 0 * k + 126
        for name, old_k, new_k in (
            ("some", k, k + steps),
            ("none", k, k),
            ("all", k, highest),
            # Beyond all grids, where counts have no exponent of a float32.
            ("the highest", highest, highest + steps),
        ):
            given = (counts, exponents, old_k, new_k)
            expected = regrid.reference(*given, xp=xp)
            cases[f"{slots} slots, {name} widened"] = Case(given, expected)
    return cases


FORMATS = [
    *("int8", "uint8", "int4", "int16", "uint16"),
    *("float8_e4m3fn", "float8_e5m2", "float6_e2m3fn", "float6_e3m2fn"),
    "float4_e2m1fn",
]

LAYOUTS = {
    "tensor": ((1000,), PerTensor()),
    "one": ((1,), PerTensor()),
    "rows": ((5, 300), PerChannel(0)),
    "short rows": ((9, 16), PerChannel(0)),
    "columns": ((40, 7), PerChannel(1)),
    "middle": ((3, 6, 50), PerChannel(1)),
    "long middle": ((2, 4, 700), PerChannel(1)),
    "two axes": ((3, 6, 4, 5), PerChannel((1, 2))),
    "blocks": ((6, 256), PerBlock(-1, 64)),
    "short last block": ((6, 200), PerBlock(1, 32)),
    "odd blocks": ((4, 50), PerBlock(1, 7)),
    "blocks of rows": ((2, 20, 9), PerBlock(1, 8)),
}


def rounding_cases():
    """Return arguments of `quantize_data` by name."""
    cases = {}
    for i, (layout, (shape, granularity)) in enumerate(LAYOUTS.items()):
        for dtype in DTYPES:
            formats = FORMATS if dtype == "float32" else FORMATS[i % 5 :: 5]
            for name in formats:
                rng = np.random.default_rng(8)
                is_symmetric = name.startswith("float") or name == "int4"
                spec = QuantSpec(
                    format=name, symmetric=is_symmetric, granularity=granularity
                )
                scales = granularity.scale_shape(shape)
                if np.prod(scales) == 1:
                    scales = ()
                scale = STEP * 2.0 ** rng.integers(-1, 3, scales)
                zero = (0 if is_symmetric else 1) * rng.integers(0, 7, scales)
                x = numbers(shape, dtype, seed=7)
                x = unaligned(x) if name in ("int8", "float8_e5m2") else x
                scale, zero = np.float32(scale), np.int32(zero)
                given = (x, np.asarray(scale), np.asarray(zero), spec)
                cases[f"{layout}-{dtype}-{name}"] = given
    return cases


def quantize_case(given):
    with np.errstate(all="ignore"):
        return Case(given, (quantize_data.reference(*given, xp=xp),))


def fake_quantize_case(given):
    with np.errstate(all="ignore"):
        return Case(given, (fake_quantize_data.reference(*given, xp=xp),))


def gradient_case(given):
    """Return a gradient for the data, which has no NaN here: a sum would be one."""
    x, *rest = given
    gradient = np.cos(np.arange(x.size)).reshape(x.shape).astype(x.dtype)
    with np.errstate(all="ignore"):
        x = np.where(np.isnan(x), np.ones_like(x), x)
        expected = fake_quantize_gradient.reference(gradient, x, *rest, xp=xp)
    return Case((gradient, x, *rest), expected)
