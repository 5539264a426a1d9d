"""Running a method on many entries, a few at a time."""

from collections.abc import Callable
from dataclasses import replace
from math import prod
from typing import Any

from array_api_compat import device as device_of

from qcore.granularity import PerChannel
from qcore.kernels import Kernel
from qcore.methods.candidates import BLOCK, map_entries
from qcore.methods.registry import Method
from qcore.spec import QuantSpec
from qcore.statistics import Statistics
from qcore.typing import Array, Namespace


@Kernel
def solve(
    low: Array,
    statistics: Statistics,
    spec: QuantSpec,
    method: Method,
    options: tuple[tuple[str, Any], ...],
    /,
    *,
    xp: Namespace,
) -> Array:
    """
    Return the ends that a method finds, float32 ``[2, C]``.

    Every entry has a range of its own, so blocks of entries give what all at once do,
    in the memory of one block.

    Parameters
    ----------
    low : array
        An array of the state, which tells the library.
    statistics : Statistics
        What was collected, with C entries.
    spec : QuantSpec
        How the tensor is to be quantized.
    method : Method
        What finds the range.
    options : tuple of pairs
        Names and values of its options.
    """

    def ends(part: Statistics) -> Array:
        return xp.stack(list(method(part, spec, xp=xp, **dict(options))))

    count, numbers = statistics.channels, numbers_of(statistics)
    if count * numbers <= BLOCK or count == 1:
        return ends(statistics)
    return map_entries(
        lambda number: ends(_entries(statistics, number, xp=xp)),
        count,
        numbers,
        xp=xp,
        device=device_of(low),
    )


def numbers_of(statistics: Statistics, /) -> int:
    """Return how many numbers a state has for each entry."""
    fields = (getattr(statistics, name) for name in statistics.array_fields())
    return sum(prod(field.shape[1:]) for field in fields)


def entries(statistics: Statistics, first: int, last: int, /) -> Statistics:
    """Return the state of the entries from first to last: views where slices are."""
    return _state_of(statistics, lambda array: array[first:last, ...], last - first)


def _entries(statistics: Statistics, number: Array, *, xp: Namespace) -> Statistics:
    """Return the state of the entries of these numbers."""
    (length,) = number.shape
    return _state_of(statistics, lambda array: xp.take(array, number, axis=0), length)


def _state_of(
    statistics: Statistics, taken: Callable[[Array], Array], length: int
) -> Statistics:
    """Return the state of so many entries, taken from each array."""
    arrays = {
        name: taken(getattr(statistics, name)) for name in statistics.array_fields()
    }
    return replace(statistics, **arrays, granularity=PerChannel(0), extents=(length,))
