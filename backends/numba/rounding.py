"""Quantize and fake-quantize, one pass over the data.

Where the elements of a run share a scale it stays in a register; else scales lie side
by side, short runs of them spread out in a part that stays in the cache.
"""

from functools import cache
from typing import Any

import numpy as np
from numba.extending import overload

from qcore.backends.numba.compile import compiled
from qcore.backends.numba.memory import Memory, empty, in_memory, readonly
from qcore.backends.numba.patterns import (
    number_of,
    pattern_dtype,
    patterns,
    stored,
)
from qcore.backends.numba.rules import VALUES, Rule, codes_of, rounded, values_of
from qcore.backends.numba.runs import PART, ROOM, end_after, run_at, spread_runs
from qcore.backends.numba.sharing import (
    SHORT,
    Columns,
    Runs,
    Sharing,
    scale_shape,
    sharing,
    spread,
)
from qcore.backends.numba.threads import run, split, thread_count
from qcore.kernels import Declined, declined
from qcore.spec import QuantSpec

LIGHT = 4
"""Elements that take as long as it takes to count one."""


def quantize_data(
    x: np.ndarray,
    scale: np.ndarray,
    zero_point: np.ndarray,
    spec: QuantSpec,
    /,
    *,
    out: np.ndarray | None = None,
) -> Any:
    """Return what the kernel of this name does, in `out` if it is given.

    int16 data are the patterns of bfloat16.
    """
    reason = not_served(x, scale, zero_point, spec)
    if reason is not None:
        return reason
    memory = in_memory(x)
    codes = _target(memory, np.dtype(spec.format.storage), out)
    rule = codes_of(spec.format, computing_dtype(x.dtype))
    _fill(x, memory, scale, zero_point, spec, rule, codes.reshape(-1))
    return _given(memory, codes, out)


def fake_quantize_data(
    x: np.ndarray,
    scale: np.ndarray,
    zero_point: np.ndarray,
    spec: QuantSpec,
    /,
    *,
    out: np.ndarray | None = None,
) -> Any:
    """Return what the kernel of this name does, in `out` if it is given.

    int16 data are the patterns of bfloat16, and so is the result then.
    """
    reason = not_served(x, scale, zero_point, spec)
    if reason is not None:
        return reason
    memory = in_memory(x)
    values = _target(memory, x.dtype, out)
    rule = values_of(spec.format, computing_dtype(x.dtype))
    found = values.reshape(-1).view(pattern_dtype(x.dtype))
    _fill(x, memory, scale, zero_point, spec, rule, found)
    return _given(memory, values, out)


def not_served(
    x: np.ndarray, scale: np.ndarray, zero_point: np.ndarray, spec: QuantSpec
) -> Declined | None:
    """Return why the portable function has to serve a call, if it has."""
    if spec.rounding != "half_even":
        return declined(f"rounding {spec.rounding} is of the portable function")
    if not (isinstance(x, np.ndarray) and pattern_dtype(x.dtype)):
        return declined("the data is of a dtype that compiled code does not know")
    if x.ndim == 0:
        return declined("a single number")
    if scale.size != 1 or zero_point.size != 1:
        expected = scale_shape(x.shape, spec.granularity)
        if scale.shape != expected or zero_point.shape != expected:
            return declined("the scales are not in the shape of their granularity")
    return None


@cache
def computing_dtype(dtype: np.dtype) -> np.dtype:
    """Return the dtype that arithmetic on data of a dtype is done in."""
    return np.dtype(np.float64 if dtype == np.float64 else np.float32)


def _target(memory: Memory, dtype: np.dtype, out: np.ndarray | None) -> np.ndarray:
    """Return contiguous memory for a result: the one given, if it can be used."""
    is_usable = (
        out is not None
        and memory.order is None
        and out.flags.c_contiguous
        and out.flags.aligned
        and out.shape == memory.data.shape
        and out.dtype == dtype
    )
    return out if is_usable else empty(memory.data.shape, dtype)


def _given(memory: Memory, found: np.ndarray, out: np.ndarray | None) -> np.ndarray:
    """Return the result with the axes of the data."""
    if found is out:
        return found
    found = memory.restored(found)
    if out is None:
        return found
    np.copyto(out, found)
    return out


def shared_scales(
    x: np.ndarray,
    memory: Memory,
    scale: np.ndarray,
    zero_point: np.ndarray,
    spec: QuantSpec,
) -> tuple[Sharing, np.ndarray, np.ndarray]:
    """Return how elements share scales, and these, in the dtype of the arithmetic."""
    dtype = computing_dtype(x.dtype)
    if scale.size == 1:
        steps, zeros = scale.reshape(1), zero_point.reshape(1)
        form: Sharing = Runs(x.size, x.size)
    else:
        form = sharing(x.shape, spec.granularity, memory.order)
        steps, zeros = (spread(e, form, memory.order) for e in (scale, zero_point))
    return form, readonly(steps, dtype), readonly(zeros, dtype)


def _fill(
    x: np.ndarray,
    memory: Memory,
    scale: np.ndarray,
    zero_point: np.ndarray,
    spec: QuantSpec,
    rule: Rule,
    out: np.ndarray,
) -> None:
    """Write the codes, or what they stand for, in threads if there are many."""
    if x.size == 0:
        return
    data = patterns(memory.data).reshape(-1)
    parts = split(len(data), thread_count(len(data) // LIGHT))
    if scale.size == 1:
        single = computing_dtype(x.dtype).type
        rest: tuple[Any, ...] = single(scale.item()), single(zero_point.item()), rule
        run(_fill_part, [(data[a:b], *rest, out[a:b]) for a, b in parts])
        return
    form, steps, zeros = shared_scales(x, memory, scale, zero_point, spec)
    if isinstance(form, Runs):
        function = _fill_runs if form.size >= SHORT else _fill_short_runs
        layout: tuple[int, ...] = form
    else:
        function = _fill_columns
        layout = (form.rows, form.size) if isinstance(form, Columns) else (1, 1)
    rest = data, steps, zeros, rule, out, *layout
    run(function, [(*rest, start, stop) for start, stop in parts])


@compiled
def _fill_part(
    data: np.ndarray, step: float, zero: float, rule: Rule, out: np.ndarray
) -> None:
    for i in range(len(data)):
        quotient = number_of(data[i]) / step
        out[i] = _result(quotient, step, zero, rule, data[i])


@compiled
def _fill_row(
    data: np.ndarray,
    steps: np.ndarray,
    zeros: np.ndarray,
    rule: Rule,
    out: np.ndarray,
) -> None:
    for i in range(len(data)):
        quotient = number_of(data[i]) / steps[i]
        out[i] = _result(quotient, steps[i], zeros[i], rule, data[i])


def _result(quotient: Any, step: Any, zero: Any, rule: Any, like: Any) -> Any:
    """Return a code, or a value as an element like another."""
    raise NotImplementedError("compiled code only")


@overload(_result)
def _results(quotient: Any, step: Any, zero: Any, rule: Any, like: Any) -> Any:
    del quotient, step, zero, like

    def value(quotient: Any, step: Any, zero: Any, rule: Any, like: Any) -> Any:
        return stored(rounded(quotient, zero, rule) * step, like)

    def code(quotient: Any, step: Any, zero: Any, rule: Any, like: Any) -> Any:  # noqa: ARG001
        return rounded(quotient, zero, rule)

    return value if rule.instance_class in VALUES else code


@compiled
def _fill_runs(
    data: np.ndarray,
    steps: np.ndarray,
    zeros: np.ndarray,
    rule: Rule,
    out: np.ndarray,
    line: int,
    size: int,
    start: int,
    stop: int,
) -> None:
    """Write the elements from start to stop of `Runs`."""
    number, _, end, line_end = run_at(start, line, size)
    entry = number % len(steps)
    while start < stop:
        last = min(end, stop)
        part = data[start:last]
        _fill_part(part, steps[entry], zeros[entry], rule, out[start:last])
        start = end
        end, line_end = end_after(end, line_end, line, size)
        entry = entry + 1 if entry + 1 < len(steps) else 0


@compiled
def _fill_short_runs(
    data: np.ndarray,
    steps: np.ndarray,
    zeros: np.ndarray,
    rule: Rule,
    out: np.ndarray,
    line: int,
    size: int,
    start: int,
    stop: int,
) -> None:
    """Write the elements from start to stop of `Runs`, the scales of a part first."""
    step, zero = np.empty(ROOM, steps.dtype), np.empty(ROOM, zeros.dtype)
    for place in range(start, stop, PART):
        length = min(PART, stop - place)
        spread_runs(place, length, line, size, steps, zeros, step, zero)
        part = slice(place, place + length)
        _fill_row(data[part], step, zero, rule, out[part])


@compiled
def _fill_columns(
    data: np.ndarray,
    steps: np.ndarray,
    zeros: np.ndarray,
    rule: Rule,
    out: np.ndarray,
    rows: int,
    size: int,
    start: int,
    stop: int,
) -> None:
    """Write the elements from start to stop of `Columns`."""
    count, width = steps.shape
    blocks = -(-rows // size)
    while start < stop:
        row = start // width
        entry = (row // rows * blocks + row % rows // size) % count
        first = start - row * width
        last = min((row + 1) * width, stop)
        part, columns = slice(start, last), slice(first, first + last - start)
        step, zero = steps[entry, columns], zeros[entry, columns]
        _fill_row(data[part], step, zero, rule, out[part])
        start = last
