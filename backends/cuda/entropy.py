"""Launches that find the divergence of windows; entropy.cu has the kernels."""

from ctypes import c_int32
from functools import lru_cache
from typing import Any

from qcore.backends.cuda import candidates
from qcore.backends.cuda.candidates import blocks_of, rows, scan_sizes, table
from qcore.backends.cuda.device import Array, Device, address
from qcore.backends.cuda.source import Program
from qcore.kernels import declined

MOST_FRACTIONS = 1 << 12
"""Of a table; of more groups of one width the kernel computes them."""


def merged_information(
    device: Device,
    line: Array,
    first: Array,
    last: Array,
    allowed: Array,
    cells: tuple[float, ...],
    /,
) -> Any:
    """Return the sum over groups of each window, 0 where not allowed, or decline.

    Parameters
    ----------
    device : Device
        Whose contiguous arrays the others are: see
        `qcore.methods.divergence.merged_information`.
    """
    return _values(device, line, first, last, allowed, None, cells)


def divergence(
    device: Device,
    line: Array,
    first: Array,
    last: Array,
    allowed: Array,
    /,
    *,
    beside: Array,
    cells: tuple[float, ...],
) -> Any:
    """Return the divergence of each window, infinity where not allowed, or decline.

    Parameters
    ----------
    device : Device
        As of `merged_information`; see `qcore.methods.divergence.divergence`.
    """
    return _values(device, line, first, last, allowed, beside, cells)


def _values(
    device: Device,
    line: Array,
    first: Array,
    last: Array,
    allowed: Array,
    beside: Array | None,
    cells: tuple[float, ...],
) -> Any:
    (channels, slots), windows = line.shape, allowed.shape[1]
    blocks = blocks_of(channels, windows)
    if blocks is None:
        return declined("none or too many windows")
    held = device.empty(((channels, slots + 1, 2), "float64"))
    information = device.empty(((channels, slots + 1), "float64"))
    device.launch(
        program(),
        "fill_sums",
        channels,
        *scan_sizes(slots),
        [c_int32(slots), *(address(device, x) for x in (line, held, information))],
    )
    values = device.empty(((channels, windows), "float64"))
    is_even = _is_even(cells)
    is_computed = is_even and len(cells) > MOST_FRACTIONS
    fractions = None if is_computed else table(device, cells)
    device.launch(
        program(),
        "divergences",
        blocks,
        candidates.THREADS,
        0,
        [
            *(address(device, x) for x in (held, information)),
            c_int32(slots),
            *rows(device, first),
            *rows(device, last),
            address(device, allowed),
            c_int32(windows),
            *(address(device, x) for x in (beside, fractions)),
            *(c_int32(len(cells) - 1), c_int32(is_even)),
            address(device, values),
        ],
    )
    return values


@lru_cache(maxsize=64)
def _is_even(cells: tuple[float, ...], /) -> bool:
    """Return whether the groups are of equal width."""
    groups = len(cells) - 1
    return cells == tuple(group / groups for group in range(groups + 1))


def program() -> Program:
    """Return the kernels of divergences."""
    files = "numbers.cu", "scan.cu", "entropy.cu"
    return Program(files, (f"THREADS={candidates.THREADS}",))
