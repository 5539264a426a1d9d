"""Rows to count: of all that has no slot, and on grids that hold them or do not."""

import numpy as np
import torch
from array_api_compat import numpy as xp

from qcore.backends.torch import triton as natives
from qcore.libraries import arithmetic
from qcore.statistics.tally import regrid, tally
from tests.backends.hard import DTYPES, any_bits
from tests.backends.triton.rounding_cases import tensor

SHAPES = [(1, 1), (1, 5000), (3, 2048), (2, 70_001), (70, 33)]
GRIDS = {
    "unknown": lambda _: None,
    "held": lambda n: np.full(n, 126, np.int32),
    "some outgrown": lambda n: np.where(np.arange(n) % 2, 100, -20).astype(np.int32),
    "all outgrown": lambda n: np.full(n, -126, np.int32),
}
KINDS = ("any", "relu", "zero", "not finite", "bell")


def rows(kind, shape, dtype="float32"):
    """Return rows as a tensor."""
    rng = np.random.default_rng(3)
    x = rng.standard_normal(shape)
    if kind == "relu":
        x = np.maximum(x, 0)
    if kind == "zero":
        x = np.where(rng.random(shape) < 0.5, -0.0, 1e-39)
    if kind == "not finite":
        x = rng.choice([np.nan, np.inf, -np.inf], shape)
    x = x.astype(DTYPES[dtype])
    if kind == "any":
        bits = any_bits(rng, x.size, dtype).reshape(shape)
        x = np.where(rng.random(shape) < 0.5, bits, x)
    return tensor(x)


def kept(shape):
    """Return which values count."""
    return np.random.default_rng(5).random(shape) < 0.6


def native(kernel=tally):
    """Return the function that Triton serves a kernel with."""
    (found,) = (
        n.function for n in kernel.natives["torch"] if n.source == natives.__name__
    )
    return found


def grids(slots):
    """Return counts, exponents, and k before and after, of rows that widen or not."""
    rng = np.random.default_rng(6)
    k = np.int32([-126, -20, -12, 0, 3, 100])
    new_k = k + np.int32([0, 1, 5, 11, 200, 2])
    counts = rng.integers(0, 2**40, (6, 2, slots)) * (rng.random((6, 2, slots)) < 0.5)
    return counts, rng.integers(0, 2**40, (6, 2, 256)), k, new_k


def check_regrid(slots, device):
    """Compare counts on wider grids."""
    arguments = grids(slots)
    ours = native(regrid)(*(torch.from_numpy(a).to(device) for a in arguments))
    with arithmetic(xp):
        theirs = regrid.reference(*arguments, xp=xp)
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one.cpu().numpy(), other, strict=True)


def check(x, keep, slots, k, device):
    """Compare all counts, ends and widths."""
    ours = native()(
        x.to(device),
        None if keep is None else torch.from_numpy(keep).to(device),
        None,
        slots,
        None if k is None else torch.from_numpy(k).to(device),
    )
    wide = x.numpy() if x.dtype == torch.float64 else x.float().numpy()
    with arithmetic(xp):
        theirs = tally.reference(wide, keep, None, slots, k, xp=xp)
    for name in theirs._fields:
        one, other = getattr(ours, name).cpu().numpy(), getattr(theirs, name)
        np.testing.assert_array_equal(one, other, name, strict=True)
        if one.dtype == np.float32:
            np.testing.assert_array_equal(np.signbit(one), np.signbit(other), name)
