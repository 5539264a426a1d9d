"""How the candidates of all channels are handed to the kernels of the searches."""

from ctypes import c_uint64
from functools import lru_cache

from qcore.backends.cuda.device import MOST_BLOCKS, Argument, Array, Device, address

THREADS = 128
"""Candidates of a block, whose neighbours look up neighbouring slots."""
WARP = 32
SCANNED = 256
"""Slots that a block sums up at once."""


def blocks_of(channels: int, candidates: int, /) -> int | None:
    """Return how many blocks have the candidates of all channels, if a launch may."""
    blocks = channels * -(-candidates // THREADS)
    return blocks if 0 < blocks <= MOST_BLOCKS else None


def rows(device: Device, x: Array | None, /) -> list[Argument]:
    """Return the address of rows ``[C, S]`` or ``[1, S]``, and how far apart they lie.

    Of none: null.
    """
    stride = 0 if x is None or x.shape[0] == 1 else x.shape[1]
    return [address(device, x), c_uint64(stride)]


def scan_sizes(slots: int, /) -> tuple[int, int]:
    """Return the threads of a block that sums up slots, and its bytes of memory."""
    threads = min(SCANNED, -(-(slots + 1) // WARP) * WARP)
    return threads, 8 * (threads // WARP)


@lru_cache(maxsize=64)
def table(device: Device, values: tuple[float, ...], /) -> Array:
    """Return float64 numbers in the memory of a device, the same ones each time."""
    return device.numbers(values)
