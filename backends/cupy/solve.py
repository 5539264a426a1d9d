"""CuPy: a method on many entries, as many at once as memory holds."""

from functools import cache
from typing import Any

import cupy
from array_api_compat import cupy as xp

from qcore.backends import entries
from qcore.backends.cupy.library import NAME
from qcore.methods.registry import Method
from qcore.methods.solve import solve
from qcore.spec import QuantSpec
from qcore.statistics import Statistics


@solve.accelerate(NAME)
def _(
    low: cupy.ndarray,
    statistics: Statistics,
    spec: QuantSpec,
    method: Method,
    options: tuple[tuple[str, Any], ...],
    /,
) -> Any:
    memory = _memory(low.device.id)
    return entries.solve(statistics, spec, method, options, memory=memory, xp=xp)


@cache
def _memory(ordinal: int) -> int:
    """Return the bytes of a device."""
    with cupy.cuda.Device(ordinal) as device:
        _, total = device.mem_info
    return int(total)
