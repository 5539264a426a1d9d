"""A range that is set beforehand, whatever was seen.

For values whose range is known, such as those of a softmax, and for float formats that
take values as they are. The constant observer of PPQ has scale 1.
"""

from qcore.arithmetic import LARGEST, TINY
from qcore.formats import IntFormat
from qcore.methods.ends import spanned
from qcore.methods.options import lies_within
from qcore.methods.registry import register_method
from qcore.spec import QuantSpec
from qcore.statistics import Histogram, MovingRange, Range, Statistics
from qcore.typing import Array, Namespace


@register_method("constant", needs=(Range, MovingRange, Histogram))
def constant(
    statistics: Statistics,
    spec: QuantSpec,
    /,
    *,
    xp: Namespace,
    scale: float | None = None,
    amax: float | None = None,
    ends: tuple[float, float] | None = None,
) -> tuple[Array, Array]:
    """
    Return the same range for all entries, whatever was seen.

    Parameters
    ----------
    statistics : Range, MovingRange or Histogram
        Tells how many entries there are.
    spec : QuantSpec
        How the tensor is to be quantized.
    scale : float, optional
        The scale of all, exact if it is a power of two and else to the last bit of
        float32; zero points are 0, as far as the format has such a code. 1 if nothing
        is given.
    amax : float, optional
        Instead, the largest magnitude represented.
    ends : tuple of float, optional
        Instead, both ends, widened to hold zero and mirrored if symmetric.

    Raises
    ------
    ValueError
        If more than one of the three is given, or a value is not finite, or a scale or
        largest magnitude no positive normal float32, or the ends descend.
    """
    given = {"scale": scale, "amax": amax, "ends": ends}
    names = [name for name, value in given.items() if value is not None]
    if len(names) > 1:
        raise ValueError(
            "one of `scale`, `amax` and `ends` must be given; "
            f"got {' and '.join(f'`{name}`' for name in names)}."
        )
    low, high = _ends(spec, scale, amax, ends)
    lo, hi = (xp.full_like(statistics.min, end) for end in (low, high))
    return spanned(lo, hi, spec, xp=xp)


def _ends(
    spec: QuantSpec,
    scale: float | None,
    amax: float | None,
    ends: tuple[float, float] | None,
) -> tuple[float, float]:
    fmt = spec.format
    if ends is not None:
        if len(ends) != 2 or not -LARGEST <= ends[0] <= ends[1] <= LARGEST:
            raise ValueError(f"`ends` must be two ascending float32; got {ends!r}.")
        return float(ends[0]), float(ends[1])
    if amax is not None:
        return -_checked("amax", amax, LARGEST), float(amax)
    farthest = max(fmt.max, -getattr(fmt, "qmin", 0))
    scale = _checked("scale", 1.0 if scale is None else scale, LARGEST / farthest)
    if spec.symmetric:
        return -scale * fmt.max, scale * fmt.max
    assert isinstance(fmt, IntFormat)  # QuantSpec refuses asymmetric floats
    return scale * fmt.qmin, scale * fmt.qmax


def _checked(name: str, value: float, most: float) -> float:
    if not lies_within(TINY, value, most):
        raise ValueError(f"`{name}` must lie in [{TINY}, {most}]; got {value!r}.")
    return float(value)
