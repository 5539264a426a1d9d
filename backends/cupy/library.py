"""CuPy: its own operators where they say what the portable functions say."""

from typing import Any

import cupy

from qcore.arithmetic import divide
from qcore.kernels import declined
from qcore.statistics.tally import count
from qcore.transfer import to_host

NAME = "cupy"


@count.accelerate(NAME)
def _(index: cupy.ndarray, weights: cupy.ndarray | None, length: int, /) -> Any:
    if weights is not None:
        return declined("bincount adds weights in float64")
    return cupy.bincount(index, minlength=length + 1)[:length]


@divide.accelerate(NAME)
def _(x: cupy.ndarray, scale: cupy.ndarray, /) -> Any:
    return cupy.divide(x, scale)


@to_host.accelerate(NAME)
def _(x: cupy.ndarray, /) -> Any:
    return x.get()
