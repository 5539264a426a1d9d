"""Cut the emptier tail, turn by turn: the glutton of the histogram.

The activation method of AMCT (Ascend Model Compression Toolkit), "HFMG": at each turn
it gives up the slots at one end that hold the next `step` values, at the end where
these are more slots; a 100000th of the values is a step. Of all the ranges passed, the
one of least squared error is chosen.

Nothing is decided in a loop here. How one side is cut does not depend on the other: its
cuts follow from its counts. Which side's turn it is does, but taking always the larger
of the two next cuts merges the sides in the order of each cut's smallest predecessor,
itself included, for what follows a small cut is taken at once if it is larger. So one
sort gives the path.

Differences: a side ends at zero, which every range holds; the path goes on to its end,
where AMCT stops at a quarter of the slots, and begins with the whole range; the error
is that of the scale and zero point the range gets. So of the same slots no range AMCT
looks at is better. It rebins the histogram of each wider batch, with loss; ours are
exact, and their resolution is ``Histogram.of(bins=…)``, there ``num_of_bins``.
"""

from array_api_compat import device as device_of

from qcore.kernels import fold
from qcore.methods.ends import gather, mirrored, spanned
from qcore.methods.range_search import best_range
from qcore.methods.registry import register_method
from qcore.spec import QuantSpec
from qcore.statistics import Histogram
from qcore.typing import Array, Namespace

_TURNS = 100_000
"""In which all values would be given up, if none gave up more than its step."""


@register_method("hfmg", needs=(Histogram,))
def hfmg(
    statistics: Histogram, spec: QuantSpec, /, *, xp: Namespace
) -> tuple[Array, Array]:
    """
    Return the best of the ranges left when the emptier tail is cut again and again.

    Parameters
    ----------
    statistics : Histogram
        What was collected; its `bins` are AMCT's ``num_of_bins``.
    spec : QuantSpec
        Symmetric: ``|x|`` has one tail (that of the positive values for an unsigned
        format). Asymmetric: of tails as empty the upper one is cut first.
    """
    counts = statistics.counts
    low, high = spanned(statistics.min, statistics.max, spec, xp=xp)
    n = statistics.zeros + xp.sum(counts, axis=(1, 2))
    step = xp.clip((n + (_TURNS - 1)) // _TURNS, 1, None)
    if spec.symmetric:
        side = counts[:, 1, :] + (counts[:, 0, :] if spec.format.signed else 0)
        above = _cut(side[:, None, :], step, xp=xp)[:, 0, :]
        below = xp.zeros_like(above)
    else:
        reach = _cut(xp.flip(counts, axis=1), step, xp=xp)
        above, below = reach[:, 0, :], reach[:, 1, :]
    ends = (
        xp.minimum(
            xp.astype(reach, xp.float64) * statistics.width[:, None],
            xp.astype(limit, xp.float64)[:, None],
        )
        for reach, limit in ((below, -low), (above, high))
    )
    lows, highs = ends
    if spec.symmetric:
        return best_range(statistics, *mirrored(highs, spec, xp=xp), spec, xp=xp)
    return best_range(statistics, -lows, highs, spec, xp=xp)


def _cut(counts: Array, step: Array, /, *, xp: Namespace) -> Array:
    """
    Return how many slots of each side are left, turn by turn.

    Parameters
    ----------
    counts : array
        int64 ``[C, sides, slots]``; of cuts as large, the first side's come first.
    step : array
        int64 ``[C]``: values to give up in a turn.

    Returns
    -------
    array
        int64 ``[C, sides, sides * slots + 1]``, from all slots that hold values to
        none.
    """
    entries, sides, slots = counts.shape
    rows = entries * sides
    inwards = xp.reshape(xp.flip(counts, axis=2), (rows, slots))
    steps = xp.reshape(xp.broadcast_to(step[:, None], (entries, sides)), (rows,))
    edges = _edges(inwards, steps, xp=xp)
    cuts = xp.diff(edges, axis=1)
    # A side that is used up has cuts of nothing, which come last.
    order = xp.reshape(-_running_least(cuts, xp=xp), (entries, sides * slots))
    order = xp.astype(xp.argsort(order, axis=1, stable=True), xp.int64)
    side = order // slots
    taken = gather(xp.reshape(cuts, (entries, sides * slots)), order, xp=xp)
    number = xp.arange(sides, dtype=xp.int64, device=device_of(counts))
    own = xp.where(
        side[:, None, :] == number[:, None],
        taken[:, None, :],
        xp.zeros_like(taken)[:, None, :],
    )
    given_up = xp.cumulative_sum(own, axis=2, include_initial=True)
    first = xp.reshape(slots - edges[:, :1], (entries, sides, 1))
    return first - given_up


def _edges(inwards: Array, step: Array, *, xp: Namespace) -> Array:
    """
    Return the edges at which a side is cut, one after the other.

    Parameters
    ----------
    inwards : array
        int64 ``[R, slots]``: counts from the outermost slot to the one at zero.
    step : array
        int64 ``[R]``.

    Returns
    -------
    array
        int64 ``[R, slots + 1]``, edges numbered from outside: first the one of the
        outermost value, then each the first edge that leaves out `step` values more
        than the one before; `slots`, which is zero, if fewer are left.
    """
    rows, slots = inwards.shape
    device = device_of(inwards)
    powers = [1 << bit for bit in range(slots.bit_length())]
    dropped = xp.cumulative_sum(inwards, axis=1, include_initial=True)
    target = dropped + step[:, None]

    def nearer(edge: Array, jump: Array) -> Array:
        """Return the edge moved inwards by a jump if that still leaves out too few."""
        probe = edge + jump
        found = gather(dropped, xp.clip(probe, None, slots), xp=xp)
        is_short = xp.logical_and(probe <= slots, found < target)
        return xp.where(is_short, probe, edge)

    jumps = xp.asarray(powers[::-1], dtype=xp.int64, device=device)
    following = fold(xp.zeros_like(dropped), jumps, nearer, xp=xp) + 1
    following = xp.clip(following, None, slots)

    turn = xp.arange(slots + 1, dtype=xp.int64, device=device)

    def doubled(state: Array, turns: Array) -> Array:
        """Return the edges after as many turns more, and what twice that leads to."""
        edge, later = state[0, :, :], state[1, :, :]
        is_due = turn // turns % 2 == 1
        edge = xp.where(is_due, gather(later, edge, xp=xp), edge)
        return xp.stack([edge, gather(later, later, xp=xp)])

    empty = xp.sum(xp.astype(dropped[:, 1:] == 0, xp.int64), axis=1)
    first = xp.broadcast_to(empty[:, None], (rows, slots + 1))
    turns = xp.asarray(powers, dtype=xp.int64, device=device)
    return fold(xp.stack([first, following]), turns, doubled, xp=xp)[0, :, :]


def _running_least(x: Array, *, xp: Namespace) -> Array:
    """Return the least of each entry and all before it in its row."""
    device = device_of(x)
    index = xp.arange(x.shape[1], dtype=xp.int64, device=device)

    def reaching(least: Array, back: Array) -> Array:
        return xp.minimum(least, xp.take(least, xp.clip(index - back, 0, None), axis=1))

    backs = [1 << bit for bit in range(x.shape[1].bit_length())]
    return fold(x, xp.asarray(backs, dtype=xp.int64, device=device), reaching, xp=xp)
