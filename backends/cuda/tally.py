"""Launches that count rows; tally.cu has the kernels."""

from ctypes import c_int32, c_uint32, c_uint64
from functools import partial
from typing import Any

from qcore.arithmetic import dtype_name
from qcore.backends.cuda.device import MOST_BLOCKS, SIZES, Array, Device, address
from qcore.backends.cuda.source import Program
from qcore.kernels import declined
from qcore.statistics.tally import EXPONENTS, Tally

THREADS, RESIDENT = 512, 3
"""Threads of a block, and blocks that share a multiprocessor: 40 registers a thread."""

IN_SHARED, IN_GLOBAL, WEIGHTED = range(3)
"""Where values are counted."""

MOST = 2**31 - 1
"""Values that the 32-bit counters of a block hold."""

SUMMARY = 8 * 4
"""Bytes of shared memory beside the table."""


def tally(
    device: Device,
    rows: Array,
    keep: Array | None,
    weights: Array | None,
    slots: int,
    k: Array | None,
    /,
) -> Any:
    """Return the counts of contiguous rows, or decline.

    One pass over the data where `k` is given and reaches far enough; a launch for rows
    that outgrew it looks on the device whether there are any.

    Parameters
    ----------
    device : Device
        Whose arrays the others are: see `qcore.statistics.tally.tally`.
    """
    channels, columns = rows.shape
    if not (channels and columns):
        return declined("no data")
    if k is not None and dtype_name(k.dtype) != "int32":
        return declined("a grid that is not int32")
    table, shared = _table(device, weights is not None, slots)
    dtype = dtype_name(rows.dtype)
    parts = _parts(device, channels, columns, SIZES[dtype], shared)
    if channels * parts > MOST_BLOCKS:
        return declined("more rows than a launch has blocks")
    # A block that has a row for itself stores all counts, on whatever memory.
    is_alone = table == IN_SHARED and parts == 1
    large = [((channels, 2, slots), "int64"), ((channels, 2, EXPONENTS), "int64")]
    per_row = ((channels,), "int64"), ((channels,), "int64"), ((channels, 2), "int64")
    ends, *small = device.zeros(
        [
            ((channels, 2), "uint32"),
            *per_row,
            ((channels,), "int32"),
            ((channels,), "float32"),
            ((channels,), "float32"),
            ((channels,), "uint8"),
            *([] if is_alone else large),
        ]
    )
    zeros, nans, infs, width, low, high, grew, *tables = small
    counts, exponents = [device.empty(kind) for kind in large] if is_alone else tables
    at = partial(address, device)

    def count(kernel: str, shared: int, k: Array | None, where: Array | None) -> None:
        device.launch(
            program(dtype, table, keep is not None),
            kernel,
            channels * parts,
            THREADS,
            shared,
            [
                at(rows),
                at(keep),
                at(weights),
                c_uint64(columns),
                c_uint32(parts),
                c_int32(slots),
                *(at(k), at(where), at(counts), at(exponents)),
                *(at(zeros), at(nans), at(infs), at(ends)),
            ],
        )

    if k is None:
        count("tally_range", SUMMARY, None, None)
    else:
        count("tally_once", shared, k, None)
    is_cleared = is_alone or k is None
    device.launch(
        program(dtype, table, keep is not None),
        "tally_settle",
        channels,
        256,
        0,
        [
            c_int32(slots),
            *(at(k), at(ends), at(width), at(low), at(high), at(grew)),
            *(at(None if is_cleared else x) for x in (counts, exponents)),
        ],
    )
    count("tally_again", shared, width, grew)
    return Tally(counts, exponents, width, low, high, zeros, nans, infs)


def program(dtype: str, table: int, has_mask: bool) -> Program:
    """Return the kernels that count data of a dtype."""
    return Program(
        ("numbers.cu", "visit.cu", "tally.cu"),
        (
            f"DATA_{dtype}",
            f"TABLE={table}",
            f"KEEP={int(has_mask)}",
            f"THREADS={THREADS}",
            f"RESIDENT={RESIDENT}",
        ),
    )


def _table(device: Device, is_weighted: bool, slots: int) -> tuple[int, int]:
    """Return where values are counted, and how many bytes of shared memory it takes."""
    shared = 4 * (2 * slots + 2 * EXPONENTS) + SUMMARY
    if is_weighted:
        return WEIGHTED, SUMMARY
    if shared > device.shared_of_block:
        return IN_GLOBAL, SUMMARY
    return IN_SHARED, shared


def _parts(device: Device, rows: int, columns: int, size: int, shared: int) -> int:
    """Return how many blocks share a row."""
    resident = min(
        RESIDENT,
        device.threads // THREADS,
        device.shared // (shared + 1024),  # of each block the system keeps 1 KiB
    )
    places = device.multiprocessors * max(resident, 1)
    # Few rows fill the places once; else four rounds of blocks are even enough.
    parts = places // rows if 16 * rows <= places else 4 * places // rows
    tile = THREADS * (64 if size > 2 else 32) // size
    parts = min(max(parts, 1), -(-columns // tile))
    return max(parts, -(-columns // MOST))
