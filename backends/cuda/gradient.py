"""Launches for the gradients of fake quantization; gradient.cu has the kernels."""

from ctypes import c_int32, c_uint32, c_uint64
from functools import partial
from math import prod
from typing import Any, NamedTuple

from qcore.arithmetic import dtype_name
from qcore.backends.cuda.device import (
    MOST_BLOCKS,
    SIZES,
    Argument,
    Array,
    Device,
    address,
)
from qcore.backends.cuda.scales import (
    Layout,
    format_arguments,
    format_macros,
    layout_for,
)
from qcore.backends.cuda.source import Program
from qcore.formats import Format
from qcore.kernels import Declined, declined
from qcore.spec import QuantSpec

THREADS = 256
WARP = 32
BLOCKS = 4
"""Blocks that share a multiprocessor."""
UNROLL = 2
"""Packets of a thread in flight."""
SHARED = 8 * (THREADS // WARP)
LONG = 2048
"""Elements of a row from which on a block takes it, not a warp."""


class Arrays(NamedTuple):
    """What is read and, named for what it is the gradient of, what is written."""

    gradient: Array
    x: Array
    of_x: Array
    of_scale: Array
    scale: Array
    zero_point: Array


def fake_quantize_gradient(
    device: Device,
    gradient: Array,
    x: Array,
    scale: Array,
    zero_point: Array,
    spec: QuantSpec,
    /,
) -> Any:
    """Return the gradients of contiguous data and of its scales, or decline.

    Parameters
    ----------
    device : Device
        Whose arrays the others are: see `qcore.gradient.fake_quantize_gradient`.
    """
    if x.dtype != gradient.dtype:
        return declined("a gradient of another dtype than the data")
    layout = layout_for(scale, zero_point, tuple(x.shape), spec)
    if isinstance(layout, Declined):
        return layout
    if layout.size and layout.inner > 1:
        return declined("blocks along another axis than the last")
    if layout.outer * layout.blocks * max(layout.inner // LONG, 1) > MOST_BLOCKS // 4:
        return declined("more rows than a launch has blocks")
    of_x = device.empty((tuple(x.shape), dtype_name(x.dtype)))
    of_scale = device.empty((tuple(scale.shape), "float32"))
    arrays = Arrays(gradient, x, of_x, of_scale, scale, zero_point)
    if layout.size or layout.outer == 1 or layout.inner >= WARP:
        _by_rows(device, layout, spec.format, arrays)
    else:
        _by_columns(device, layout, spec.format, arrays)
    return of_x, of_scale


def _by_rows(device: Device, layout: Layout, fmt: Format, arrays: Arrays) -> None:
    """Take elements in a row that share a scale, by a block or by a warp."""
    gradient, x, of_x, of_scale, scale, zero_point = arrays
    at = partial(address, device)
    # Blocks of a row of data, or rows that have one block: themselves.
    per_row = layout.blocks if layout.size else 1
    length, size = (
        (layout.length, layout.size) if layout.size else (layout.inner, layout.inner)
    )
    rows = layout.outer * layout.blocks
    dtype = dtype_name(x.dtype)
    is_wide = size >= LONG or rows == 1
    parts = _parts(device, rows, size, SIZES[dtype]) if is_wide else 1
    repeats = rows // layout.channels
    is_direct = parts == repeats == 1
    partial_sums = None if is_direct else device.empty(((rows, parts), "float64"))
    places = {device.pointer(array) % 16 for array in (gradient, x, of_x)}
    device.launch(
        program(dtype, fmt),
        "gradient_rows",
        rows * parts if is_wide else -(-rows // (THREADS // WARP)),
        THREADS,
        SHARED,
        [
            *(at(array) for array in (gradient, x, of_x, partial_sums, of_scale)),
            *(at(scale), at(zero_point)),
            *map(c_uint64, (rows, length, size, per_row, layout.channels)),
            *(c_uint32(parts), c_int32(is_wide), c_int32(len(places) == 1)),
            *format_arguments(fmt),
        ],
    )
    if not is_direct:
        strides = (parts, repeats, layout.channels * parts, parts)
        _add_up(device, program(dtype, fmt), partial_sums, of_scale, strides)


def _by_columns(device: Device, layout: Layout, fmt: Format, arrays: Arrays) -> None:
    """Take elements below each other, a thread each column."""
    gradient, x, of_x, of_scale, scale, zero_point = arrays
    columns = layout.channels * layout.inner
    tiles = -(-columns // THREADS)
    places = BLOCKS * 2 * device.multiprocessors
    parts = min(layout.outer, max(1, places // tiles))
    partial_sums = device.empty(((parts, columns), "float64"))
    kernels = program(dtype_name(x.dtype), fmt)
    given = (gradient, x, of_x, partial_sums, scale, zero_point)
    device.launch(
        kernels,
        "gradient_columns",
        tiles * parts,
        THREADS,
        0,
        [
            *(address(device, array) for array in given),
            *map(c_uint64, (layout.outer, columns, layout.inner)),
            c_uint32(parts),
            *format_arguments(fmt),
        ],
    )
    strides = (layout.inner, parts, columns, layout.inner)
    _add_up(device, kernels, partial_sums, of_scale, strides)


def _add_up(
    device: Device,
    kernels: Program,
    partial_sums: Array,
    of_scale: Array,
    strides: tuple[int, int, int, int],
) -> None:
    """Add up sums for each scale: see `gradient_sum`."""
    _, count, _, width = strides
    numbers: list[Argument] = [c_uint64(stride) for stride in strides]
    device.launch(
        kernels,
        "gradient_sum",
        max(prod(of_scale.shape), 1),
        WARP if count * width <= 2 * WARP else THREADS,
        SHARED,
        [address(device, partial_sums), address(device, of_scale), *numbers],
    )


def _parts(device: Device, rows: int, size: int, bytes_of: int) -> int:
    """Return how many blocks share a row."""
    places = BLOCKS * device.multiprocessors
    parts = 4 * places // rows  # rounds that end evenly
    tile = THREADS * UNROLL * 16 // bytes_of
    return min(max(parts, 1), -(-size // tile))


def program(dtype: str, fmt: Format) -> Program:
    """Return the kernels of the gradients of data of a dtype."""
    sizes = f"THREADS={THREADS}", f"UNROLL={UNROLL}"
    macros = (f"DATA_{dtype}", *sizes, *format_macros(fmt))
    return Program(("numbers.cu", "steps.cu", "gradient.cu"), macros)
