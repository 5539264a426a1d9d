"""The Kullback-Leibler divergence of a quantized histogram, for many windows at once.

With h the counts and running sums over the slots of h, [h > 0] and h ln h, a window
costs one term a group instead of one a slot. Let S and n be a group's count and number
of non-empty slots, l the count of an end slot, O the outliers beyond it, N all counts
and C those in the window; then

    KL = (sum of h ln h + sum over ends of (l + O) ln(l + O) - l ln l
          - sum over groups of S ln(S / n) - sum over ends of O ln(S / n)) / N
         - ln N + ln C
"""

from typing import NamedTuple

from array_api_compat import device as device_of

from qcore.kernels import Kernel
from qcore.methods.candidates import sum_terms
from qcore.methods.ends import gather
from qcore.typing import Array, Namespace

_NOISE = 1e-12
"""A smaller divergence is rounding error and counts as none."""


@Kernel
def divergence(
    line: Array,
    first: Array,
    last: Array,
    allowed: Array,
    /,
    *,
    beside: Array,
    cells: tuple[float, ...],
    xp: Namespace,
) -> Array:
    """
    Return KL(P || Q) of each window.

    Parameters
    ----------
    line : array
        int64 counts ``[C, L]``.
    first, last : array
        int64 ``[C, S]`` or ``[1, S]``: edges of the windows, from 0 to L.
    allowed : array
        Booleans ``[C, S]``: windows whose divergence is of interest.
    beside : array
        int64 ``[C]``: counts beyond the line's beginning.
    cells : tuple of float
        Edges of the groups as fractions of a window, from 0 to 1.

    Returns
    -------
    array
        float64 ``[C, S]``; infinite where a window is empty or where outliers meet an
        empty end slot, anything where it is not allowed.
    """
    sums = running_sums(line, xp=xp)
    aside = xp.astype(beside, xp.float64)[:, None]
    total = sums.count[:, -1:] + aside
    below, above = (gather(sums.count, edge, xp=xp) for edge in (first, last))
    inside = above - below
    kept = gather(sums.information, last, xp=xp) - gather(
        sums.information, first, xp=xp
    )

    widths = xp.astype(last - first, xp.float64)
    second, final = (
        first + xp.astype(rounded_up(widths * cell, xp=xp), xp.int64)
        for cell in (cells[1], cells[-2])
    )
    ends = (
        (first, first, second, below + aside),
        (final, last - 1, last, total - aside - above),
    )
    for start, middle, stop, outliers in ends:
        count, density = _end_slot(sums, start, middle, stop, xp=xp)
        kept = kept + _x_log_x(count + outliers, xp=xp) - _x_log_x(count, xp=xp)
        kept = kept - outliers * xp.log(density)
        lost = xp.logical_and(outliers > 0, count == 0)
        kept = xp.where(lost, xp.full_like(kept, float("inf")), kept)

    merged = merged_information(line, first, last, allowed, cells, xp=xp)
    one = xp.ones_like(inside)
    filled = xp.maximum(inside, one) / xp.maximum(total, one)
    value = (kept - merged) / xp.maximum(total, one) + xp.log(filled)
    value = xp.where(value < _NOISE, xp.zeros_like(value), value)
    return xp.where(inside > 0, value, xp.full_like(value, float("inf")))


class Sums(NamedTuple):
    """Running sums over the slots of a line, float64 ``[C, L + 1]``, from 0."""

    count: Array
    filled: Array
    information: Array
    """Of ``h ln h``."""


def running_sums(line: Array, /, *, xp: Namespace) -> Sums:
    """Return the running sums of counts ``[C, L]``."""
    counts = xp.astype(line, xp.float64)
    terms = counts, xp.astype(line > 0, xp.float64), _x_log_x(counts, xp=xp)
    return Sums(*(xp.cumulative_sum(t, axis=1, include_initial=True) for t in terms))


@Kernel
def merged_information(
    line: Array,
    first: Array,
    last: Array,
    allowed: Array,  # noqa: ARG001 - for native functions, which may leave out the rest
    cells: tuple[float, ...],
    /,
    *,
    xp: Namespace,
) -> Array:
    """Return the sum over groups of S ln(S / n), float64 ``[C, S]``.

    A native function may give anything to windows that are not allowed.
    """
    sums = running_sums(line, xp=xp)
    device = device_of(line)
    fractions = xp.asarray(cells, dtype=xp.float64, device=device)

    widths = xp.astype(last - first, xp.float64)[:, :, None]
    start = first[:, :, None]

    def information(below: Array, above: Array) -> Array:
        edges = [
            start + xp.astype(rounded_up(widths * cell, xp=xp), xp.int64)
            for cell in (below, above)
        ]
        group, slots = (
            gather(table, edges[1], xp=xp) - gather(table, edges[0], xp=xp)
            for table in (sums.count, sums.filled)
        )
        return group_information(group, slots, xp=xp)

    like = xp.zeros_like(sums.count[:, :1] + widths[:, :, 0])
    return sum_terms(information, (fractions[:-1], fractions[1:]), like, xp=xp)


def group_information(group: Array, slots: Array, /, *, xp: Namespace) -> Array:
    """Return S ln(S / n) of groups of S counts in n non-empty slots, 0 if empty."""
    one = xp.ones_like(group)
    return group * xp.log(xp.maximum(group, one) / xp.maximum(slots, one))


def _end_slot(
    sums: Sums, start: Array, middle: Array, stop: Array, *, xp: Namespace
) -> tuple[Array, Array]:
    """Return the count of the slot at `middle`, and S / n of the group around it.

    In a window of fewer slots than groups the slot may be all of its group.
    """
    places = [_on_line(edge, sums, xp=xp) for edge in (start, middle, middle + 1, stop)]
    low, before, after, high = (gather(sums.count, place, xp=xp) for place in places)
    count, group = after - before, high - low
    slots = gather(sums.filled, places[3], xp=xp) - gather(
        sums.filled, places[0], xp=xp
    )
    one = xp.ones_like(count)
    group = xp.where(group < count, count, group)
    return count, xp.maximum(group, one) / xp.maximum(slots, one)


def _on_line(edge: Array, sums: Sums, *, xp: Namespace) -> Array:
    return xp.clip(edge, 0, sums.count.shape[1] - 1)


def rounded_up(places: Array, /, *, xp: Namespace) -> Array:
    """Return the first slot edges at or beyond fractional places, as floats.

    The slack is less than the least distance of a true product to an integer.
    """
    return xp.ceil(places - 1e-11)


def _x_log_x(x: Array, *, xp: Namespace) -> Array:
    """Return ``x ln x`` of counts, 0 at 0."""
    return x * xp.log(xp.maximum(x, xp.ones_like(x)))
