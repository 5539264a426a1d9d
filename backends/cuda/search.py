"""Launches that find the step of least squared error; search.cu has the kernels."""

from ctypes import c_double, c_int32
from typing import Any

from qcore.backends.cuda import candidates
from qcore.backends.cuda.candidates import rows
from qcore.backends.cuda.device import MOST_BLOCKS, Argument, Array, Device, address
from qcore.backends.cuda.errors import (
    TOO_MANY,
    codes_of,
    range_errors,
    symmetric_errors,
    tails_of,
)
from qcore.backends.cuda.source import Program
from qcore.formats import Format
from qcore.kernels import declined
from qcore.methods.ends import TIE
from qcore.methods.squared_error import MANY_CODES, NOISE, is_fine, magnitudes

THREADS = 256
STRIDE = 16
"""Of the candidates of ascending steps, every so many are tried first."""
SLACK = 3 * NOISE
"""Of the second moment: errors that differ by no more may be equally good."""
MOST_WARPS = 32


def search_symmetric(
    device: Device, counts: Array, steps: Array, allowed: Array, fmt: Format, /
) -> Any:
    """Return the errors of steps at zero point 0, infinity for most, or decline.

    Parameters
    ----------
    device : Device
        Whose contiguous arrays the others are: see
        `qcore.methods.step_search.search_symmetric`.
    """
    if is_fine(fmt):
        below, above = (side[-1] for side in magnitudes(fmt))
        number = int(below + above)
        return range_errors(device, counts, steps, below, allowed, number, fine=True)
    if _shared(allowed) > device.shared_of_block:
        return symmetric_errors(device, counts, steps, allowed, fmt)
    codes = codes_of(device, counts, fmt)
    given = [
        *(address(device, x) for x in codes.tails),
        c_int32(counts.shape[2]),
        *rows(device, steps),
        address(device, allowed),
        c_int32(allowed.shape[1]),
        *(address(device, x) for x in codes.cells),
        *map(c_int32, codes.ends),
    ]
    return _searched(device, "search_symmetric", allowed, given)


def search_affine(
    device: Device, counts: Array, steps: Array, allowed: Array, codes: int, /
) -> Any:
    """Return the errors of steps, each with its best zero point, or decline.

    Parameters
    ----------
    device : Device
        As of `search_symmetric`; see `qcore.methods.step_search.search_affine`.
    """
    fine = codes > MANY_CODES
    if fine or _shared(allowed) > device.shared_of_block:
        return range_errors(device, counts, steps, -1.0, allowed, codes, fine=fine)
    tails = [tails_of(device, counts, sign, sign) for sign in range(2)]
    given = [
        *(address(device, x) for x in tails),
        c_int32(counts.shape[2]),
        *rows(device, steps),
        address(device, allowed),
        *(c_int32(allowed.shape[1]), c_int32(codes)),
    ]
    return _searched(device, "search_affine", allowed, given)


def _searched(
    device: Device, kernel: str, allowed: Array, given: list[Argument]
) -> Any:
    channels, number = allowed.shape
    if not (0 < channels <= MOST_BLOCKS and number):
        return declined(TOO_MANY)
    errors = device.empty(((channels, number), "float64"))
    shared = _shared(allowed)
    last = c_double(TIE), c_double(SLACK), address(device, errors)
    device.launch(program(), kernel, channels, THREADS, shared, [*given, *last])
    return errors


def _shared(allowed: Array) -> int:
    """Return how many bytes of shared memory a search takes."""
    number: int = allowed.shape[1]
    return 8 * (MOST_WARPS + -(-number // STRIDE) + 1)


def program() -> Program:
    """Return the kernels that look at few steps."""
    files = "numbers.cu", "scan.cu", "density.cu", "errors.cu", "search.cu"
    sizes = f"THREADS={candidates.THREADS}", f"SEARCHERS={THREADS}"
    return Program(files, (*sizes, f"STRIDE={STRIDE}"))
