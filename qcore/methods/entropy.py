"""Clip where the quantized distribution says most about the original one.

The method of TensorRT ("8-bit Inference with TensorRT", S. Migacz, GTC 2017): for each
candidate window the slots inside are merged into as many groups as there are codes,
each group's counts spread evenly over its non-empty slots, and the divergence
KL(P || Q) from the original counts P, to whose end slots the outliers beside the window
are added, is least for the chosen window.

Zeros are left out: every window represents them exactly. `qcore.methods.divergence` has
the form in which a window costs one term a group.
"""

from array_api_compat import device as device_of

from qcore.formats import FloatFormat
from qcore.methods.balance import is_balanced
from qcore.methods.divergence import divergence
from qcore.methods.ends import (
    best_candidate,
    mirrored,
    spanned,
    strided,
)
from qcore.methods.options import whole_number
from qcore.methods.registry import register_method
from qcore.spec import QuantSpec
from qcore.statistics import Histogram
from qcore.typing import Array, Namespace

MOST_LEVELS = 1 << 16
"""As many as the widest format has codes."""


@register_method("entropy", "kl", needs=(Histogram,))
def entropy(
    statistics: Histogram,
    spec: QuantSpec,
    /,
    *,
    xp: Namespace,
    start_bin: int | None = None,
    stride: int = 1,
    num_levels: int | None = None,
) -> tuple[Array, Array]:
    """
    Return the window ``[max(min, -t), min(max, t)]`` of least divergence.

    Parameters
    ----------
    statistics : Histogram
        What was collected.
    spec : QuantSpec
        Symmetric: windows of ``|x|``, and the range is ``[-t, t]``; values that an
        unsigned format cannot hold count as outliers next to zero. Groups are of equal
        width for integers and the rounding cells of a float format.
    start_bin : int, optional
        Slots of the smallest window, at least 2. By default as many as groups, and no
        window that loses more to saturation than to rounding is chosen: else a few
        large values beside a bulk, as ReLU leaves them, are all cut off.
    stride : int, optional
        Slots between candidates; the widest is the range of the values seen.
    num_levels : int, optional
        Groups of an integer format, 2 to 2**16; by default the codes that magnitudes
        have (onnxruntime's ``num_quantized_bins``).

    Raises
    ------
    ValueError
        If `start_bin` is less than 2, `num_levels` out of range, `stride` less than 1,
        or `num_levels` is given for a float format.
    """
    cells = _cells(spec, num_levels)
    slots = statistics.slots
    start = len(cells) - 1 if start_bin is None else start_bin
    start = min(whole_number("start_bin", start, 2), slots)
    stride = whole_number("stride", stride, 1)
    reach = strided(start, slots, stride, device_of(statistics.k), xp=xp)
    low, high = spanned(statistics.min, statistics.max, spec, xp=xp)
    line, first, last, beside, used = _windows(
        statistics, spec, reach, low, high, xp=xp
    )
    # Beyond the first window that holds everything there is nothing to gain.
    allowed = reach[None, :] < used[:, None] + stride
    if start_bin is None:
        below, above = _reaches(statistics, spec, reach, low, high, xp=xp)
        balanced = is_balanced(statistics.counts, below, above, spec, xp=xp)
        allowed = xp.logical_and(allowed, balanced)
    objective = divergence(
        line, first, last, allowed, beside=beside, cells=cells, xp=xp
    )
    best = best_candidate(objective, allowed, xp=xp)
    chosen = xp.take(reach, xp.clip(best, 0, None))
    chosen = xp.where(best < 0, xp.full_like(chosen, slots), chosen)
    t = xp.astype(xp.astype(chosen, xp.float64) * statistics.width, xp.float32)
    if spec.symmetric:
        return mirrored(xp.minimum(t, high), spec, xp=xp)
    return xp.maximum(low, -t), xp.minimum(high, t)


def _reaches(
    statistics: Histogram,
    spec: QuantSpec,
    reach: Array,
    low: Array,
    high: Array,
    *,
    xp: Namespace,
) -> tuple[Array, Array]:
    """Return how far the windows reach below and above zero, in slots."""
    t = xp.astype(reach, xp.float64)[None, :]
    if spec.symmetric:
        return (t if spec.format.signed else xp.zeros_like(t)), t
    below, above = (
        xp.minimum(t, (xp.astype(end, xp.float64) / statistics.width)[:, None])
        for end in (-low, high)
    )
    return below, above


def _cells(spec: QuantSpec, num_levels: int | None) -> tuple[float, ...]:
    """Return the edges of the groups as fractions of the window, from 0 to 1."""
    fmt = spec.format
    if isinstance(fmt, FloatFormat):
        if num_levels is not None:
            raise ValueError(
                f"`num_levels` must not be given for {fmt.name}, whose codes differ "
                "in distance."
            )
        pairs = zip(fmt.magnitudes, fmt.magnitudes[1:], strict=False)
        return 0.0, *((a + b) / 2 / fmt.max for a, b in pairs), 1.0
    signed = spec.symmetric and fmt.signed
    groups = 2 ** (fmt.bits - signed)
    if num_levels is not None:
        groups = whole_number("num_levels", num_levels, 2, MOST_LEVELS)
    return tuple(k / groups for k in range(groups + 1))


def _windows(
    statistics: Histogram,
    spec: QuantSpec,
    reach: Array,
    low: Array,
    high: Array,
    *,
    xp: Namespace,
) -> tuple[Array, Array, Array, Array, Array]:
    """Return what the candidates are windows of, and their edges.

    That is the counts in order ``[C, L]``, first and last edge of each window
    ``[C or 1, S]``, the counts that lie beside the line at its beginning ``[C]``, and
    the slots the widest side needs ``[C]``.
    """
    negative, positive = statistics.counts[:, 0, :], statistics.counts[:, 1, :]

    def slots_to(end: Array) -> Array:
        """Return the number of the slots up to the one that holds `end`."""
        slot = xp.floor(xp.astype(end, xp.float64) / statistics.width)
        return xp.astype(xp.where(end > 0, slot + 1, xp.zeros_like(slot)), xp.int64)

    if spec.symmetric:
        none = xp.zeros_like(statistics.zeros)
        first, last = xp.zeros_like(reach)[None, :], reach[None, :]
        if spec.format.signed:
            return negative + positive, first, last, none, slots_to(high)
        return positive, first, last, xp.sum(negative, axis=1), slots_to(high)
    line = xp.concat([xp.flip(negative, axis=1), positive], axis=1)
    below, above = slots_to(-low), slots_to(high)
    first = statistics.slots - xp.minimum(reach[None, :], below[:, None])
    last = statistics.slots + xp.minimum(reach[None, :], above[:, None])
    return line, first, last, xp.zeros_like(below), xp.maximum(below, above)
