"""What a histogram holds, in whole numbers, and data that is hard to count."""

import math
import warnings

import numpy as np

from qcore import Histogram

BINS = 24
SLOTS = 64
TINY = np.float32(2.0**-126)
LARGEST = np.finfo(np.float32).max


def definition(values, k=None, amounts=None):
    """Count one row, element by element; `amounts` are how often each counts."""
    values = np.asarray(values, np.float32).ravel()
    amounts = np.ones(len(values), np.int64) if amounts is None else amounts
    values, amounts = values[amounts > 0].tolist(), amounts[amounts > 0].tolist()
    tiny = 2.0**-126
    finite = [0 if abs(v) < tiny else v for v in values if abs(v) <= LARGEST]
    if k is None:
        amax = max(map(abs, finite), default=0)
        k = next(k for k in range(-126, 127) if amax < SLOTS * 2.0**k)
    state = {
        "counts": np.zeros((2, SLOTS), np.int64),
        "exponents": np.zeros((2, 256), np.int64),
        "k": np.int32(k),
        "min": np.float32(min(finite, default=np.inf)),
        "max": np.float32(max(finite, default=-np.inf)),
        "zeros": np.int64(0),
        "nans": np.int64(0),
        "infs": np.zeros(2, np.int64),
    }
    for v, n in zip(values, amounts, strict=True):
        if math.isnan(v):
            state["nans"] += n
        elif abs(v) > LARGEST:
            state["infs"][int(v > 0)] += n
        elif abs(v) < tiny:
            state["zeros"] += n
        else:
            slot = int(abs(v) / 2.0**k)  # exact: doubles, and a power of two
            state["counts"][int(v > 0), slot] += n
            if slot == 0:  # by the exponent field of IEEE 754
                state["exponents"][int(v > 0), np.frexp(abs(v))[1] + 126] += n
    return state


def collect(x, *more):
    return Histogram.of(x, *more, bins=BINS)


def cases():
    """Return arrays of one shape, so that each is compiled but once."""
    rng = np.random.default_rng(11)
    normal = rng.standard_normal(96).astype(np.float32)
    made = {
        "normal": normal,
        "zeros": np.zeros(96),
        "signed zeros": np.where(normal > 0, 0.0, -0.0),
        "a power of two": np.where(np.arange(96) % 7, normal / 8, 4.0),
        "a negative power of two": np.where(np.arange(96) % 7, normal / 8, -4.0),
        "just below a power of two": np.append(normal[:95], np.nextafter(4, 0)),
        "slot edges": np.arange(-48, 48) / 8,
        "one sign": np.maximum(normal, 0),
        "negative": -np.exp(normal),
        "an outlier": np.append(normal[:95] / 4096, -3.0),
        "many scales": np.sign(normal) * np.exp2(rng.uniform(-126, 127, 96)),
        "subnormals": normal * 2.0**-127,
        "smallest normal": np.append(np.zeros(95), TINY),
        "around the smallest": np.nextafter(np.sign(normal) * TINY, normal),
        "huge": normal / np.abs(normal).max() * 3e38,
        "largest": np.where(np.arange(96) % 3, normal, -LARGEST),
        "NaN": np.where(np.arange(96) % 5, normal, np.nan),
        "infinite": np.where(np.arange(96) % 5, normal, np.sign(normal) * np.inf),
        "all NaN": np.full(96, np.nan),
        "all infinite": np.where(normal > 0, np.inf, -np.inf),
        "bits": rng.integers(0, 2**32, 96, dtype=np.uint64)
        .astype(np.uint32)
        .view(np.float32),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {name: np.asarray(x).astype(np.float32) for name, x in made.items()}


CASES = cases()
