"""NumPy: searches that leave out what cannot be the best.

A range that is too narrow saturates. That part of its error takes one lookup a side,
and most ranges are ruled out by it alone: those that lose more than the best of a few
that were tried in full.
"""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from qcore.formats import Format
from qcore.methods.density import Line, Tail
from qcore.methods.ends import TIE
from qcore.methods.range_search import search_ranges
from qcore.methods.squared_error import (
    MANY_CODES,
    NOISE,
    Sides,
    best_below,
    gain_parts,
    is_fine,
    magnitudes,
    saturation,
    sides_of,
)
from qcore.methods.step_search import search_affine, search_symmetric
from qcore.typing import Array

NAME = "numpy"
TERMS = 1 << 14
"""Terms worked on at once: a few float64 arrays of them stay in the cache."""
STRIDE = 16
"""Of the candidates, every so many are tried first."""

Errors = Callable[[np.ndarray, np.ndarray], np.ndarray]


@search_symmetric.accelerate(NAME)
def _(
    counts: np.ndarray, steps: np.ndarray, allowed: np.ndarray, fmt: Format, /
) -> Any:
    """4096 slots: see benchmarks/bench_search.py."""
    if is_fine(fmt):
        return NotImplemented
    negative, positive = (levels[-1] for levels in magnitudes(fmt))
    steps = np.broadcast_to(steps, allowed.shape)
    sides = sides_of(counts, xp=np)
    parts = gain_parts(counts, fmt, xp=np)

    def errors(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        step = steps[rows, columns]
        gain = sum(
            _excess(tail, rows, np.multiply.outer(step, edges)) @ spans
            for tail, edges, spans in parts
        )
        result: np.ndarray = np.maximum(sides.moment[rows] - 2 * step * gain, 0)
        return result

    bound = saturation(sides, steps * negative, steps * positive, xp=np)
    return _search(errors, bound, allowed, sides.moment, len(parts[0][1]))


@search_affine.accelerate(NAME)
def _(counts: np.ndarray, steps: np.ndarray, allowed: np.ndarray, codes: int, /) -> Any:
    """4096 slots, 8 bits: see benchmarks/bench_search.py."""
    if codes > MANY_CODES:
        return NotImplemented
    steps = np.broadcast_to(steps, allowed.shape)
    sides = sides_of(counts, xp=np)
    below = best_below(sides.line, steps, codes, xp=np)
    return _search_affine(sides, steps, below, allowed, codes)


@search_ranges.accelerate(NAME)
def _(
    counts: np.ndarray,
    steps: np.ndarray,
    below: np.ndarray,
    allowed: np.ndarray,
    codes: int,
    /,
) -> Any:
    """4096 slots, as ifmr and hfmg search them: see benchmarks/bench_search.py."""
    if codes > MANY_CODES:
        return NotImplemented
    return _search_affine(sides_of(counts, xp=np), steps, below, allowed, codes)


def _search_affine(
    sides: Sides,
    steps: np.ndarray,
    below: np.ndarray,
    allowed: np.ndarray,
    codes: int,
) -> np.ndarray:
    """Return the errors of steps ``[C, S]`` with so many codes below zero each."""
    middle = np.arange(codes) + 0.5

    def errors(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        step = steps[rows, columns]
        edges = np.subtract.outer(-below[rows, columns], -middle)
        edges *= step[:, None]
        gain = _excess_on(sides.line, rows, edges).sum(axis=-1)
        result: np.ndarray = np.maximum(sides.moment[rows] - 2 * step * gain, 0)
        return result

    bound = saturation(sides, steps * below, steps * (codes - below), xp=np)
    return _search(errors, bound, allowed, sides.moment, codes)


def _search(
    errors: Errors,
    bound: np.ndarray,
    allowed: np.ndarray,
    moment: np.ndarray,
    terms: int,
) -> np.ndarray:
    """Return the errors ``[C, S]`` of what may be the best, infinity elsewhere."""
    result = np.full(bound.shape, np.inf)
    size = max(TERMS // terms, 1)

    def evaluate(wanted: np.ndarray) -> None:
        rows, columns = np.nonzero(wanted)
        for i in range(0, len(rows), size):
            some = rows[i : i + size], columns[i : i + size]
            result[some] = errors(*some)

    first = np.zeros_like(allowed)
    first[:, ::STRIDE] = allowed[:, ::STRIDE]
    evaluate(first)
    least = result.min(axis=1, keepdims=True)
    noise = NOISE * moment[:, None]
    evaluate(allowed & ~first & (bound <= least * TIE + noise))
    return result


def _excess(tail: Tail, rows: np.ndarray, edge: np.ndarray) -> np.ndarray:
    """Return `excess_beyond` of the rows' own edges ``[P, n]``."""
    last = tail.half.shape[1] - 1
    index = np.minimum(edge, last).astype(np.int64)
    edge -= index
    index += rows[:, None] * (last + 1)
    half, mass, excess = _taken(tail[:3], index)
    half *= edge
    mass -= half
    mass *= edge
    excess -= mass
    return excess


def _excess_on(line: Line, rows: np.ndarray, edge: np.ndarray) -> np.ndarray:
    """Return `excess_on` of the rows' own edges ``[P, n]``."""
    length = line.curve.shape[1]
    slot = np.floor(np.clip(edge, -length // 2, length // 2 - 1))
    edge -= slot
    index = slot.astype(np.int64)
    index += rows[:, None] * length + length // 2
    constant, slope, curve = _taken(line, index)
    curve *= edge
    slope += curve
    slope *= edge
    constant += slope
    return constant


def _taken(tables: Iterable[Array], index: np.ndarray) -> list[np.ndarray]:
    """Return what the tables ``[C, n]`` hold at flat places."""
    return [np.asarray(table).ravel().take(index) for table in tables]
