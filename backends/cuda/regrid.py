"""The launch that widens slots; regrid.cu has the kernel."""

from ctypes import c_int32
from typing import Any

from qcore.arithmetic import dtype_name
from qcore.backends.cuda.device import MOST_BLOCKS, Array, Device, address
from qcore.backends.cuda.source import Program
from qcore.kernels import declined

PROGRAM = Program(("numbers.cu", "regrid.cu"), ())


def regrid(
    device: Device, counts: Array, exponents: Array, k: Array, new_k: Array, /
) -> Any:
    """Return contiguous counts on wider grids, or decline.

    Parameters
    ----------
    device : Device
        Whose arrays the others are: see `qcore.statistics.tally.regrid`.
    """
    channels, _, slots = counts.shape
    if not 0 < channels <= MOST_BLOCKS // 2:
        return declined("no rows, or more than a launch has blocks")
    if {dtype_name(k.dtype), dtype_name(new_k.dtype)} != {"int32"}:
        return declined("a grid that is not int32")
    coarse = device.empty((tuple(counts.shape), "int64"))
    wider = device.empty((tuple(exponents.shape), "int64"))
    arrays = (counts, exponents, k, new_k, coarse, wider)
    device.launch(
        PROGRAM,
        "regrid",
        2 * channels,
        512 if slots > 1024 else 128,
        0,
        [c_int32(slots), *(address(device, array) for array in arrays)],
    )
    return coarse, wider
