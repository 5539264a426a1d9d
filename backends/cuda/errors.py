"""Launches that find the squared errors of steps; errors.cu has the kernels."""

from ctypes import c_double, c_int32, c_uint64
from itertools import accumulate, chain, pairwise
from typing import Any, NamedTuple

from qcore.backends.cuda import candidates
from qcore.backends.cuda.candidates import blocks_of, rows, scan_sizes, table
from qcore.backends.cuda.device import MOST_BLOCKS, Array, Device, address
from qcore.backends.cuda.source import Program
from qcore.formats import FloatFormat, Format, IntFormat
from qcore.kernels import Declined, declined
from qcore.methods.ends import TIE
from qcore.methods.squared_error import MANY_CODES, cells_of
from qcore.spec import QuantSpec

NUMBERS = 4
"""Of a tail, for each slot and one more."""
LANES = 8
"""Threads of a channel that try numbers of codes below zero."""
TOO_MANY = "none or too many candidates"


def search_ranges(
    device: Device,
    counts: Array,
    steps: Array,
    below: Array,
    allowed: Array,
    codes: int,
    /,
) -> Any:
    """Return the errors of ranges, or decline.

    Parameters
    ----------
    device : Device
        Whose contiguous arrays the others are: see
        `qcore.methods.range_search.search_ranges`.
    """
    fine = codes > MANY_CODES
    return range_errors(device, counts, steps, below, allowed, codes, fine=fine)


def best_split(
    device: Device,
    counts: Array,
    step: Array,
    reach: Array,
    noise: Array,
    codes: int,
    /,
) -> Any:
    """Return how many codes are best below zero, or decline.

    Parameters
    ----------
    device : Device
        As of `search_ranges`; see `qcore.methods.mse.best_split`.
    """
    channels, _, slots = counts.shape
    blocks = -(-LANES * channels // candidates.THREADS)
    if not 0 < channels <= MOST_BLOCKS:
        return declined(TOO_MANY)
    negative, positive = (tails_of(device, counts, sign, sign) for sign in range(2))
    chosen = device.empty(((channels,), "float64"))
    device.launch(
        program(),
        "best_splits",
        blocks,
        candidates.THREADS,
        0,
        [
            *(address(device, x) for x in (negative, positive)),
            c_int32(slots),
            *(address(device, x) for x in (step, reach, noise)),
            *(c_double(TIE), c_uint64(channels), c_int32(codes)),
            c_int32(codes > MANY_CODES),
            address(device, chosen),
        ],
    )
    return chosen


def is_balanced(
    device: Device, counts: Array, below: Array, above: Array, spec: QuantSpec, /
) -> Any:
    """Return whether windows lose no more to saturation than to rounding, or decline.

    Parameters
    ----------
    device : Device
        As of `search_ranges`; see `qcore.methods.balance.is_balanced`.
    """
    fmt, errors = spec.format, None
    if spec.symmetric:
        steps = above * (1 / fmt.max)
    else:
        assert isinstance(fmt, IntFormat)  # QuantSpec refuses asymmetric floats
        steps = (below + above) * (1 / (fmt.qmax - fmt.qmin))
    (channels, _, slots), windows = counts.shape, steps.shape[1]
    blocks = blocks_of(channels, windows)
    if blocks is None:
        return declined(TOO_MANY)
    if isinstance(fmt, FloatFormat):
        errors = symmetric_errors(device, counts, steps, None, fmt)
    negative, positive = (tails_of(device, counts, sign, sign) for sign in range(2))
    balanced = device.empty(((channels, windows), "uint8"))
    device.launch(
        program(),
        "balances",
        blocks,
        candidates.THREADS,
        0,
        [
            *(address(device, x) for x in (negative, positive)),
            c_int32(slots),
            *(part for x in (steps, below, above) for part in rows(device, x)),
            c_int32(windows),
            *(address(device, x) for x in (errors, balanced)),
        ],
    )
    return balanced != 0


def tails_of(device: Device, counts: Array, first: int, last: int, /) -> Array:
    """Return the tails of the counts of some signs added up; density.cu says of what.

    float64 ``[C, slots + 1, 4]``.
    """
    channels, _, slots = counts.shape
    tails = device.empty(((channels, slots + 1, NUMBERS), "float64"))
    device.launch(
        program(),
        "fill_tails",
        channels,
        *scan_sizes(slots),
        [
            c_int32(slots),
            address(device, counts),
            *(c_int32(first), c_int32(last)),
            address(device, tails),
        ],
    )
    return tails


class Codes(NamedTuple):
    """What the sum over the codes of a format at zero point 0 runs over.

    Tails of both signs added up, and of each sign if it has codes of its own; edges and
    spans of rounding cells, and where the kinds of codes end: see errors.cu.
    """

    tails: tuple[Array, Array | None, Array | None]
    cells: tuple[Array, Array]
    ends: tuple[int, ...]


def codes_of(device: Device, counts: Array, fmt: Format, /) -> Codes:
    """Return what a sum over the codes of a format runs over."""
    cells = cells_of(fmt)
    edges, spans = (tuple(chain(*parts)) for parts in zip(*cells, strict=True))
    ends = tuple(accumulate(len(part.edges) for part in cells))
    negative, positive = (
        tails_of(device, counts, sign, sign) if begin < end else None
        for sign, (begin, end) in enumerate(pairwise(ends))
    )
    tails = tails_of(device, counts, 0, 1), negative, positive
    return Codes(tails, (table(device, edges), table(device, spans)), ends)


def symmetric_errors(
    device: Device, counts: Array, steps: Array, allowed: Array | None, fmt: Format, /
) -> Array | Declined:
    """Return the errors of steps coarser than slots, at zero point 0, where allowed."""
    (channels, _, slots), number = counts.shape, steps.shape[1]
    blocks = blocks_of(channels, number)
    if blocks is None:
        return declined(TOO_MANY)
    codes = codes_of(device, counts, fmt)
    errors = device.empty(((channels, number), "float64"))
    device.launch(
        program(),
        "symmetric_errors",
        blocks,
        candidates.THREADS,
        0,
        [
            *(address(device, x) for x in codes.tails),
            c_int32(slots),
            *rows(device, steps),
            address(device, allowed),
            c_int32(number),
            *(address(device, x) for x in codes.cells),
            *map(c_int32, codes.ends),
            address(device, errors),
        ],
    )
    return errors


def range_errors(
    device: Device,
    counts: Array,
    steps: Array,
    below: Array | float,
    allowed: Array,
    codes: int,
    /,
    *,
    fine: bool,
) -> Array | Declined:
    """Return the errors of ranges where so many codes lie below zero.

    One number for all, or the best of each if that is negative. `fine` tells whether
    the steps count as finer than slots.
    """
    (channels, _, slots), number = counts.shape, allowed.shape[1]
    blocks = blocks_of(channels, number)
    if blocks is None:
        return declined(TOO_MANY)
    split, given = (below, None) if isinstance(below, float) else (0.0, below)
    negative, positive = (tails_of(device, counts, sign, sign) for sign in range(2))
    errors = device.empty(((channels, number), "float64"))
    device.launch(
        program(),
        "affine_errors",
        blocks,
        candidates.THREADS,
        0,
        [
            *(address(device, x) for x in (negative, positive)),
            c_int32(slots),
            *rows(device, steps),
            *rows(device, given),
            c_double(split),
            address(device, allowed),
            *(c_int32(number), c_int32(codes), c_int32(fine)),
            address(device, errors),
        ],
    )
    return errors


def program() -> Program:
    """Return the kernels of squared errors."""
    files = "numbers.cu", "scan.cu", "density.cu", "errors.cu"
    return Program(files, (f"THREADS={candidates.THREADS}",))
