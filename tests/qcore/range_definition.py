"""The squared error of a range on a histogram, written out slot by slot."""

import numpy as np

TIE = 1 + 1e-9


def levels_of(lo, hi, spec):
    """Return what the codes stand for under the scale and zero point of a range."""
    fmt = spec.format
    lo, hi = np.float32(min(lo, 0)), np.float32(max(hi, 0))
    if not spec.symmetric:
        codes = np.float32(fmt.qmax - fmt.qmin)
        scale = hi / codes - lo / codes
        zero_point = np.clip(np.round(fmt.qmin - lo / scale), fmt.qmin, fmt.qmax)
        return (np.arange(fmt.qmin, fmt.qmax + 1) - zero_point) * float(scale)
    amax = max(-lo, hi) if fmt.signed else hi
    if fmt.name.startswith("float"):
        values = np.asarray(fmt.values)
        codes = np.unique(values[np.isfinite(values)])
    else:
        codes = np.arange(fmt.qmin, fmt.qmax + 1.0)
    return codes * float(amax / np.float32(codes[-1]))


def squared_error(h, levels):
    """Return the squared distance to the nearest level, summed over even densities."""
    width, total = float(h.width[0]), 0.0
    cuts = (levels[1:] + levels[:-1]) / 2
    for sign, side in ((-1, h.counts[0, 0]), (1, h.counts[0, 1])):
        for slot in np.flatnonzero(side):
            low, high = sorted((sign * slot * width, sign * (slot + 1) * width))
            inside = cuts[(cuts > low) & (cuts < high)]
            edges = np.concatenate([[low], inside, [high]])
            middle = (edges[1:] + edges[:-1]) / 2
            near = levels[np.searchsorted(cuts, middle)]
            cubes = (edges[1:] - near) ** 3 - (edges[:-1] - near) ** 3
            total += float(side[slot]) / width * cubes.sum() / 3
    return total


def best_of(h, ranges, spec):
    """Return the widest of the ranges that are as good as the best."""
    ranges = [(np.float32(lo), np.float32(hi)) for lo, hi in ranges]
    ranges = [(lo, hi) for lo, hi in ranges if lo < hi]
    errors = [squared_error(h, levels_of(lo, hi, spec)) for lo, hi in ranges]
    good = [r for r, e in zip(ranges, errors, strict=True) if e <= min(errors) * TIE]
    return max(good, key=lambda ends: float(ends[1]) - float(ends[0]))
