"""The gradients of fake quantization, one pass over the data.

The gradient of a scale is a sum in float64, whose order is that of memory whatever the
number of threads: chunks of a fixed size each add up what is theirs.
"""

from typing import Any

import numpy as np
from array_api_compat import numpy

from qcore.backends.numba.compile import compiled
from qcore.backends.numba.memory import empty, in_memory
from qcore.backends.numba.patterns import number_of, pattern_dtype, patterns
from qcore.backends.numba.rounding import (
    computing_dtype,
    not_served,
    shared_scales,
)
from qcore.backends.numba.rules import Rule, is_inside, rounded, values_of
from qcore.backends.numba.runs import PART, ROOM, end_after, run_at, spread_runs
from qcore.backends.numba.sharing import Columns, Runs
from qcore.backends.numba.threads import run, split, thread_count
from qcore.kernels import declined
from qcore.spec import QuantSpec

CHUNK = 1 << 16
"""Elements that one thread adds up by itself."""
GROUPS = 64
"""Of rows that share their scales: each adds up by itself."""
LEAST = 16
"""Rows of such a group."""


def fake_quantize_gradient(
    gradient: np.ndarray,
    x: np.ndarray,
    scale: np.ndarray,
    zero_point: np.ndarray,
    spec: QuantSpec,
    /,
) -> Any:
    """Return what the kernel of this name does.

    int16 data and gradients are the patterns of bfloat16.
    """
    reason = not_served(x, scale, zero_point, spec)
    if reason is not None:
        return reason
    if pattern_dtype(gradient.dtype) is None or gradient.shape != x.shape:
        return declined("the gradient is not such as the data")
    memory = in_memory(x)
    arriving = gradient
    if memory.order is not None:
        arriving = gradient.transpose(memory.order)
    passed = empty(memory.data.shape, gradient.dtype)
    if x.size == 0:
        return memory.restored(passed), np.zeros(scale.shape, np.float32)
    form, steps, zeros = shared_scales(x, memory, scale, zero_point, spec)
    rest = (
        patterns(memory.data).reshape(-1),
        patterns(arriving).reshape(-1),
        steps,
        zeros,
        values_of(spec.format, computing_dtype(x.dtype)),
        passed.reshape(-1).view(pattern_dtype(gradient.dtype)),
    )
    if isinstance(form, Runs):
        sums = _sum_runs(rest, form)
    elif isinstance(form, Columns):
        sums = _sum_columns(rest, form)
    else:
        sums = _sum_scattered(rest, memory.restored, spec)
        return memory.restored(passed), sums.astype(np.float32).reshape(scale.shape)
    if memory.order is not None and scale.size > 1:
        turned = tuple(scale.shape[axis] for axis in memory.order)
        sums = sums.reshape(turned).transpose(np.argsort(memory.order))
    return memory.restored(passed), sums.astype(np.float32).reshape(scale.shape)


def _sum_runs(rest: tuple[Any, ...], runs: Runs) -> np.ndarray:
    """Write the gradient of the data, return that of the scales."""
    length, entries = len(rest[0]), len(rest[2])
    lines = length // runs.line
    sums = np.zeros(lines * -(-runs.line // runs.size))
    heads = np.zeros(-(-length // CHUNK))
    parts = split(len(heads), thread_count(length))
    run(_grade_runs, [(*rest, sums, heads, *runs, a, b) for a, b in parts])
    _add_heads(sums, heads, *runs)
    total: np.ndarray = sums.reshape(-1, entries).sum(axis=0)
    return total


def _sum_columns(rest: tuple[Any, ...], columns: Columns) -> np.ndarray:
    """Write the gradient of the data, return that of the scales."""
    length, width = len(rest[0]), rest[2].shape[1]
    rows = -(-length // width)
    if columns.rows == 1:  # all rows share them
        groups = min(max(rows // LEAST, 1), GROUPS)
        edges = np.asarray([rows * i // groups for i in range(groups + 1)])
    else:
        lines = np.arange(rows // columns.rows)[:, None] * columns.rows
        edges = np.append(lines + np.arange(0, columns.rows, columns.size), rows)
    sums = np.zeros((len(edges) - 1, width))
    parts = split(len(sums), thread_count(length))
    run(_grade_columns, [(*rest, sums, edges, a, b) for a, b in parts])
    if columns.rows > 1:
        return sums
    total = sums.sum(axis=0).reshape(columns.tiles, -1, columns.repeat)
    found: np.ndarray = total.sum(axis=(0, 2))
    return found


def _sum_scattered(rest: tuple[Any, ...], restored: Any, spec: QuantSpec) -> np.ndarray:
    """Write the gradient of the data, return that of the scales."""
    data, gradient, steps, zeros, rule, passed = rest
    parts = np.empty(len(data))
    _grade(data, gradient, steps[0], zeros[0], rule, passed, parts)
    rows, _ = spec.granularity.to_rows(restored(parts), xp=numpy)
    total: np.ndarray = rows.sum(axis=1)
    return total


@compiled
def _grade(
    data: np.ndarray,
    gradient: np.ndarray,
    steps: np.ndarray,
    zeros: np.ndarray,
    rule: Rule,
    passed: np.ndarray,
    parts: np.ndarray,
) -> None:
    """Write what is passed on, and what each element adds for its scale."""
    nothing = np.zeros(1, gradient.dtype)[0]  # a literal one would widen the rest
    for i in range(len(data)):
        quotient = number_of(data[i]) / steps[i]
        inside = is_inside(quotient, zeros[i], rule)
        slope = rounded(quotient, zeros[i], rule)
        slope = slope - quotient if inside else slope
        passed[i] = gradient[i] if inside else nothing
        parts[i] = np.float64(number_of(gradient[i])) * np.float64(slope)


@compiled
def _grade_runs(
    data: np.ndarray,
    gradient: np.ndarray,
    steps: np.ndarray,
    zeros: np.ndarray,
    rule: Rule,
    passed: np.ndarray,
    sums: np.ndarray,
    heads: np.ndarray,
    line: int,
    size: int,
    first: int,
    last: int,
) -> None:
    """Write the sums of the runs of some chunks, in heads of those begun before."""
    step, zero = np.empty(ROOM, steps.dtype), np.empty(ROOM, zeros.dtype)
    parts = np.empty(PART)
    for chunk in range(first, last):
        start, stop = chunk * CHUNK, min((chunk + 1) * CHUNK, len(data))
        for place in range(start, stop, PART):
            length = min(PART, stop - place)
            part = slice(place, place + length)
            spread_runs(place, length, line, size, steps, zeros, step, zero)
            _grade(data[part], gradient[part], step, zero, rule, passed[part], parts)
            number, begin, end, line_end = run_at(place, line, size)
            i = 0
            while i < length:
                until = min(end - place, length)
                total = _sum(parts[i:until])
                if begin < start:
                    heads[chunk] += total
                else:
                    sums[number] += total
                i, begin, number = until, end, number + 1
                end, line_end = end_after(end, line_end, line, size)


@compiled
def _add_heads(sums: np.ndarray, heads: np.ndarray, line: int, size: int) -> None:
    """Add what the chunks found of runs that began before them."""
    for chunk in range(1, len(heads)):
        number, begin, _, _ = run_at(chunk * CHUNK, line, size)
        if begin < chunk * CHUNK:
            sums[number] += heads[chunk]


@compiled
def _sum(x: np.ndarray) -> float:
    """Return a sum, of four that need not wait for each other."""
    whole = len(x) // 4 * 4
    first = second = third = fourth = 0.0
    for i in range(0, whole, 4):
        first += x[i]
        second += x[i + 1]
        third += x[i + 2]
        fourth += x[i + 3]
    for i in range(whole, len(x)):
        first += x[i]
    return first + second + (third + fourth)


@compiled
def _grade_columns(
    data: np.ndarray,
    gradient: np.ndarray,
    steps: np.ndarray,
    zeros: np.ndarray,
    rule: Rule,
    passed: np.ndarray,
    sums: np.ndarray,
    edges: np.ndarray,
    first: int,
    last: int,
) -> None:
    """Write the sums of some groups of rows."""
    width = steps.shape[1]
    parts = np.empty(PART)
    for group in range(first, last):
        entry = group % len(steps)
        for row in range(edges[group], edges[group + 1]):
            stop = min((row + 1) * width, len(data))
            for place in range(row * width, stop, PART):
                length = min(PART, stop - place)
                part = slice(place, place + length)
                column = place - row * width
                columns = slice(column, column + length)
                _grade(
                    data[part],
                    gradient[part],
                    steps[entry, columns],
                    zeros[entry, columns],
                    rule,
                    passed[part],
                    parts,
                )
                for i in range(length):
                    sums[group, column + i] += parts[i]
