"""The whole range that was seen: no value saturates."""

from qcore.methods.ends import spanned
from qcore.methods.registry import register_method
from qcore.spec import QuantSpec
from qcore.statistics import Histogram, MovingRange, Range, Statistics
from qcore.typing import Array, Namespace


@register_method("minmax", "max", needs=(Range, Histogram))
def minmax(
    statistics: Statistics, spec: QuantSpec, /, *, xp: Namespace
) -> tuple[Array, Array]:
    """Return the smallest and largest value, mirrored if symmetric."""
    return spanned(statistics.min, statistics.max, spec, xp=xp)


@register_method("moving_average", needs=(MovingRange,))
def moving_average(
    statistics: MovingRange, spec: QuantSpec, /, *, xp: Namespace
) -> tuple[Array, Array]:
    """Return the averaged ends, mirrored if symmetric.

    As MovingAverageMinMaxObserver of PyTorch and of the Horizon plugin.
    """
    return spanned(statistics.min, statistics.max, spec, xp=xp)
