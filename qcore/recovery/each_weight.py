"""Scale and zero point of each weight by itself."""

from collections.abc import Callable
from dataclasses import replace

from qcore.granularity import PerChannel
from qcore.spec import QParams
from qcore.typing import Array, Namespace


def each_weight(
    qparams: QParams,
    shape: tuple[int, ...],
    by_output: Callable[[Array], Array],
    /,
    *,
    xp: Namespace,
) -> QParams:
    """
    Return qparams of each weight, where a layer's rearranged weights have theirs.

    Parameters
    ----------
    qparams : QParams
        Of a weight as it is stored, of any granularity.
    shape : tuple of int
        That of the weight as it is stored.
    by_output : callable
        Rearranges it to ``[outputs, inputs, *kernel]``.
    """
    expand = qparams.spec.granularity.expand
    scale, zero_point = (
        by_output(xp.broadcast_to(expand(x, shape, xp=xp), shape))
        for x in (qparams.scale, qparams.zero_point)
    )
    each = PerChannel(tuple(range(scale.ndim)))
    return QParams(scale, zero_point, replace(qparams.spec, granularity=each))
