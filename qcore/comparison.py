"""What each method would choose, and what it would cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from typing import Any

from qcore.calibrate import compute_range
from qcore.libraries import arithmetic, namespace
from qcore.methods.auto import CANDIDATES, Candidate, judge, with_options
from qcore.spec import QuantSpec
from qcore.statistics import Histogram
from qcore.transfer import to_host
from qcore.typing import Array, Namespace


@dataclass(frozen=True, eq=False)
class Comparison:
    """The ranges and the errors of M methods for C entries; ``str`` gives a table.

    Attributes
    ----------
    methods : tuple of str
        Their names, each with the options given to it.
    lo, hi : array
        float32 ``[M, C]``.
    errors : array
        float64 ``[M, C]``.
    best : array
        int64 ``[C]``: which method ``"auto"`` takes.
    metric : str
        Of the errors.
    """

    methods: tuple[str, ...]
    lo: Array
    hi: Array
    errors: Array
    best: Array
    metric: str

    def __str__(self) -> str:
        """Return a line for each method: outermost ends, mean error, wins."""
        xp = namespace(self.lo)
        lo, hi, errors, best = (
            to_host(x, xp=xp) for x in (self.lo, self.hi, self.errors, self.best)
        )
        header = ["method", "lo", "hi", self.metric, "best"]
        rows = [
            [
                name,
                f"{lo[m].min():.6g}",
                f"{hi[m].max():.6g}",
                f"{_mean(errors[m]):.6g}",
                f"{(best == m).sum()} of {len(best)}",
            ]
            for m, name in enumerate(self.methods)
        ]
        widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
        lines = (
            "  ".join(
                [row[0].ljust(widths[0])]
                + [
                    cell.rjust(width)
                    for cell, width in zip(row[1:], widths[1:], strict=True)
                ]
            )
            for row in [header, *rows]
        )
        return "\n".join(lines)


def compare_methods(
    statistics: Histogram,
    spec: QuantSpec,
    /,
    *,
    methods: Sequence[Candidate] = CANDIDATES,
    metric: str = "mse",
    p: float = 2.0,
    clipping_weight: float = 1.0,
    nonfinite: str = "raise",
    xp: Namespace | None = None,
) -> Comparison:
    """
    Return what several methods choose and the error to expect of each.

    Parameters
    ----------
    statistics : Histogram
        What was collected, with C entries.
    spec : QuantSpec
        How the tensor is to be quantized.
    methods : sequence of str or (str, mapping), optional
        Names of methods, or each with its options.
    metric : {"mse", "lp", "sqnr"}, optional
        As in `expected_error`, as are the two that follow.
    p, clipping_weight : float, optional
        Norm of ``"lp"``, and weight of what lies beyond a range.
    nonfinite : {"raise", "ignore"}, optional
        As in `calibrate`.

    Returns
    -------
    Comparison
        In the order of `methods`.

    Raises
    ------
    ValueError
        If there is no candidate, or an option is out of range.
    NonFiniteError, NoDataError, UnknownMethodError, StatisticsError
        As in `calibrate`.

    Examples
    --------
    >>> import numpy as np
    >>> import qcore
    >>> x = np.linspace(-1, 1, 1000) ** 5
    >>> seen = qcore.Histogram.of(x, bins=64)
    >>> found = qcore.compare_methods(
    ...     seen, qcore.QuantSpec("int4"), methods=["minmax", "mse"]
    ... )
    >>> found.methods[int(found.best[0])]
    'mse'
    """
    how: dict[str, Any] = {"metric": metric, "p": p, "clipping_weight": clipping_weight}
    pairs = with_options(methods)
    xp = namespace(statistics.min, xp)

    def find(name: str, options: Mapping[str, Any]) -> tuple[Array, Array]:
        return compute_range(
            statistics, spec, name, nonfinite=nonfinite, xp=xp, **options
        )

    with arithmetic(xp):
        found = judge(statistics, spec, find, pairs, how, xp=xp)
    return Comparison(tuple(map(_named, pairs)), *found, metric)


def _mean(errors: Any) -> float:
    """Return the mean of the errors that are numbers; zeros have no ratio."""
    known = [error for error in errors.tolist() if not isnan(error)]
    return sum(known) / len(known) if known else float("nan")


def _named(pair: tuple[str, object]) -> str:
    name, options = pair
    return f"{name} {options}" if options else name
