"""From what was collected to scales and zero points, by a method's name."""

from dataclasses import replace
from typing import Any

from qcore.errors import NoDataError, NonFiniteError
from qcore.libraries import arithmetic, is_concrete, namespace
from qcore.methods.registry import find_method
from qcore.methods.solve import solve
from qcore.qparams import qparams_from_range
from qcore.spec import QParams, QuantSpec
from qcore.statistics import Statistics
from qcore.typing import Array, Namespace


def calibrate(
    statistics: Statistics,
    spec: QuantSpec,
    /,
    method: str = "mse",
    *,
    nonfinite: str = "raise",
    xp: Namespace | None = None,
    **options: Any,
) -> QParams:
    """
    Return scales and zero points for the data that statistics describe.

    Parameters
    ----------
    statistics : Histogram, Range, MovingRange or Top2
        What was collected, with C entries.
    spec : QuantSpec
        How the tensor is to be quantized. Its granularity is replaced by that of the
        statistics.
    method : str, optional
        A name from `methods`.
    nonfinite : {"raise", "ignore"}, optional
        What to do if NaN or infinity was seen. Inside a traced function nothing can be
        raised: scales of such data are NaN.
    **options
        Those of the method, such as ``percentile=99.9``.

    Returns
    -------
    QParams
        In the shape of the statistics' extents (0-d per tensor). Data that is all zero
        has scale 1.

    Raises
    ------
    NonFiniteError
        If NaN or infinity was seen.
    NoDataError
        If no finite value was seen.
    UnknownMethodError
        If no method has that name.
    StatisticsError
        If the method needs other statistics.
    """
    lo, hi = compute_range(
        statistics, spec, method, nonfinite=nonfinite, xp=xp, **options
    )
    xp = namespace(lo, xp)
    with arithmetic(xp):
        lo, hi = (xp.reshape(end, statistics.extents) for end in (lo, hi))
        spec = replace(spec, granularity=statistics.granularity)
        return qparams_from_range(lo, hi, spec, xp=xp)


def compute_range(
    statistics: Statistics,
    spec: QuantSpec,
    /,
    method: str = "mse",
    *,
    nonfinite: str = "raise",
    xp: Namespace | None = None,
    **options: Any,
) -> tuple[Array, Array]:
    """
    Return the ends of the ranges that a method chooses.

    Parameters
    ----------
    statistics, spec, method, nonfinite, **options
        As in `calibrate`.

    Returns
    -------
    lo, hi : array
        float32 ``[C]``, ``lo <= 0 <= hi``.

    Raises
    ------
    NonFiniteError, NoDataError, UnknownMethodError, StatisticsError
        As in `calibrate`.
    """
    if nonfinite not in ("raise", "ignore"):
        raise ValueError(f"`nonfinite` must be 'raise' or 'ignore'; got {nonfinite!r}.")
    chosen = find_method(method)
    if not isinstance(statistics, Statistics):
        raise TypeError(
            f"`statistics` must be such as Histogram; got {type(statistics).__name__}."
        )
    if not isinstance(spec, QuantSpec):
        raise TypeError(f"`spec` must be a QuantSpec; got {type(spec).__name__}.")
    xp = namespace(statistics.min, xp)
    with arithmetic(xp):
        tainted = statistics.nonfinite > 0
        if is_concrete(statistics.min, xp):
            _check_data(statistics, tainted, nonfinite, xp=xp)
        pairs = tuple(options.items())
        ends = solve(statistics.min, statistics, spec, chosen, pairs, xp=xp)
        lo, hi = ends[0, :], ends[1, :]
        if nonfinite == "raise":
            nan = xp.full_like(lo, float("nan"))
            lo, hi = xp.where(tainted, nan, lo), xp.where(tainted, nan, hi)
        return lo, hi


def _check_data(
    statistics: Statistics, tainted: Array, nonfinite: str, *, xp: Namespace
) -> None:
    if nonfinite == "raise" and bool(xp.any(tainted)):
        counts = int(xp.sum(statistics.nans)), int(xp.sum(statistics.infs))
        raise NonFiniteError(
            f"statistics must hold finite values alone; got {counts[0]} NaN and "
            f"{counts[1]} infinite. Mend the data or pass nonfinite='ignore'."
        )
    if not bool(xp.any(statistics.min <= statistics.max)):
        raise NoDataError("statistics must have seen a finite value; got none.")
