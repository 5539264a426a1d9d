"""Data that is hard to round and to count, hard places for it, and equality of bits."""

from math import prod

import ml_dtypes
import numpy as np

DTYPES = {
    "float32": np.dtype(np.float32),
    "float64": np.dtype(np.float64),
    "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
}
INTEGERS = ("int2", "int4", "int8", "int16", "uint4", "uint8", "uint16")
FLOATS = (
    *("float8_e4m3fn", "float8_e5m2", "float6_e2m3fn", "float6_e3m2fn"),
    "float4_e2m1fn",
)
FORMATS = (*INTEGERS, *FLOATS)

SPECIAL = (
    *(0.0, -0.0, np.nan, -np.nan, np.inf, -np.inf),
    *(1e-42, -1e-45, 3e38, -3e38, 2.0**-126, 1e-40),
)
STEP = np.float32(0.0371)
"""Of the ties: no power of two, so that dividing by it rounds."""


def any_bits(rng, count, dtype="float32"):
    """Return numbers of any pattern: subnormal, huge and infinite ones, NaN."""
    dtype = DTYPES[dtype]
    return rng.integers(0, 256, count * dtype.itemsize, dtype=np.uint8).view(dtype)


def numbers(shape, dtype="float32", *, step=STEP, seed=0):
    """Return any bits, halves of a step, what is near and what far, and the special."""
    rng, count = np.random.default_rng(seed), prod(shape)
    x = any_bits(rng, count, dtype)
    kind = rng.integers(0, 4, count)
    others = (
        rng.integers(-300, 300, count) * 0.5 * step,
        rng.standard_normal(count) * 20 * step,
        rng.choice([-1.0, 1.0], count) * np.exp2(rng.uniform(-12, 4, count)) * step,
    )
    places = rng.permutation(count)[: min(len(SPECIAL), count // 2)]
    with np.errstate(all="ignore"):
        for i, other in enumerate(others):
            x = np.where(kind == i, other.astype(x.dtype), x)
        x[places] = np.asarray(SPECIAL[: len(places)], x.dtype)
    return x.reshape(shape)


def rows(channels, columns, dtype="float32"):
    """Return a bell, one with zeros and an outlier, any bits, and what is special."""
    rng = np.random.default_rng(columns)
    x = rng.standard_normal((channels, columns)).astype(np.float32)
    x[0, ::2] = 0
    x[0, -1] = 1e4
    if channels > 1:
        x[1] = any_bits(rng, columns)
    if channels > 2:
        x[2, : len(SPECIAL)] = SPECIAL[:columns]
    if channels > 3:
        x[3] = np.nan
    with np.errstate(over="ignore", invalid="ignore"):
        x = x.astype(DTYPES[dtype])
        if dtype == "float64":
            # Halfway points of the rounding to float32, and what float32 lacks.
            edges = [2.0**128 - 2.0**103, 2.0**-126 - 2.0**-150, 1e300, 1e-300]
            x[-1, : len(edges)] = edges[:columns]
    return x


def moved(x, size):
    """Return equal values so many bytes beside where memory is aligned."""
    found = np.empty(x.nbytes + size, np.uint8)[size:].view(x.dtype).reshape(x.shape)
    found[...] = x
    return found


def misaligned(x):
    """Return equal values that begin one byte beside where they should."""
    found = moved(x, 1)
    assert not found.flags.aligned
    return found


def unaligned(x):
    """Return equal values at an address that no vector can be loaded from."""
    return moved(x, x.itemsize)


def read_only(x):
    """Return equal values that cannot be written to."""
    x = x.copy()
    x.flags.writeable = False
    return x


def assert_same_bits(found, expected):
    """Compare to the last bit, the sign of zero too; one NaN is as good as another."""
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    if found.dtype.kind not in "iu":
        is_nan = np.isnan(expected)
        np.testing.assert_array_equal(np.isnan(found), is_nan)
        whole = np.dtype(f"u{found.dtype.itemsize}")
        found, expected = (
            np.ascontiguousarray(x).view(whole) * ~is_nan for x in (found, expected)
        )
    np.testing.assert_array_equal(found, expected)
