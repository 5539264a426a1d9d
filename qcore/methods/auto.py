"""Try several methods and keep the range whose expected error is least.

Horizon's MixObserver does so with nine percentiles and the data itself.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from qcore.expected_error import check_metric, expected_error
from qcore.methods.ends import TIE, gather, last_true
from qcore.methods.range_search import judged_alone
from qcore.methods.registry import find_method, register_method
from qcore.qparams import qparams_from_range
from qcore.spec import QuantSpec
from qcore.statistics import Histogram
from qcore.typing import Array, Namespace

Candidate: TypeAlias = str | tuple[str, Mapping[str, Any]]

CANDIDATES: tuple[Candidate, ...] = (
    "minmax",
    "percentile",
    "entropy",
    "ifmr",
    "hfmg",
    "floating",
    "mse",
)
"""All that choose by what a histogram saw."""


@register_method("auto", "mix", needs=(Histogram,))
def auto(
    statistics: Histogram,
    spec: QuantSpec,
    /,
    *,
    xp: Namespace,
    methods: Sequence[Candidate] = CANDIDATES,
    metric: str = "mse",
    p: float = 2.0,
    clipping_weight: float = 1.0,
) -> tuple[Array, Array]:
    """
    Return the best of the ranges that other methods find, for each entry.

    `qcore.compare_methods` shows what it chose from.

    Parameters
    ----------
    statistics : Histogram
        What was collected.
    spec : QuantSpec
        How the tensor is to be quantized.
    methods : sequence of str or (str, mapping), optional
        Names of methods, or each with its options, such as
        ``("percentile", {"percentile": 99.9})``.
    metric : {"mse", "lp", "sqnr"}, optional
        What is to be best, as in `expected_error`.
    p, clipping_weight : float, optional
        As in `expected_error`.

    Raises
    ------
    ValueError
        If there is no candidate, or an option of the metric is out of range.
    UnknownMethodError
        If no method has a candidate's name.
    StatisticsError
        If a candidate needs other statistics.
    TypeError
        If a candidate lacks one of its options.
    """
    how: dict[str, Any] = {"metric": metric, "p": p, "clipping_weight": clipping_weight}

    def find(name: str, options: Mapping[str, Any]) -> tuple[Array, Array]:
        return find_method(name)(statistics, spec, xp=xp, **options)

    lo, hi, _, best = judge(statistics, spec, find, with_options(methods), how, xp=xp)
    return tuple(
        gather(xp.permute_dims(end, (1, 0)), best[:, None], xp=xp)[:, 0]
        for end in (lo, hi)
    )


def judge(
    statistics: Histogram,
    spec: QuantSpec,
    find: Callable[[str, Mapping[str, Any]], tuple[Array, Array]],
    methods: Sequence[tuple[str, Mapping[str, Any]]],
    how: Mapping[str, Any],
    /,
    *,
    xp: Namespace,
) -> tuple[Array, Array, Array, Array]:
    """Return ends, float32, and errors, float64, of M methods, and which is best.

    ``[M, C]`` each but the last, int64 ``[C]``. `find` gives the range of a method.
    """
    check_metric(**how)
    lows, highs, errors = [], [], []
    for name, options in methods:
        lo, hi = find(name, options)
        qparams = qparams_from_range(lo, hi, judged_alone(spec), xp=xp)
        lows.append(lo)
        highs.append(hi)
        errors.append(expected_error(statistics, qparams, xp=xp, **how))
    lo, hi, error = (xp.stack(part) for part in (lows, highs, errors))
    best = best_of(lo, hi, error, highest=how["metric"] == "sqnr", xp=xp)
    return lo, hi, error, best


def with_options(
    methods: Sequence[Candidate], /
) -> list[tuple[str, Mapping[str, Any]]]:
    """Return candidates as pairs of a name and options.

    Raises
    ------
    ValueError
        If there is none.
    TypeError
        If one is neither a name nor a pair of a name and a mapping.
    """
    single = isinstance(methods, str)
    pairs = [(m, {}) if isinstance(m, str) else m for m in methods]
    if single or not all(map(_is_pair, pairs)):
        raise TypeError(
            "`methods` must be a sequence of names, or of pairs of a name and options; "
            f"got {methods!r}."
        )
    if not pairs:
        raise ValueError("`methods` must name at least one method; got none.")
    return pairs


def _is_pair(candidate: Any) -> bool:
    return (
        isinstance(candidate, tuple)
        and len(candidate) == 2
        and isinstance(candidate[0], str)
        and isinstance(candidate[1], Mapping)
    )


def best_of(
    lo: Array, hi: Array, errors: Array, /, *, highest: bool, xp: Namespace
) -> Array:
    """Return which method is best for each entry, int64 ``[C]``, from ``[M, C]`` each.

    Of ranges as good, the widest; of equal ones, the last. Where no error is a number,
    as for data that is all zero under a ratio, the last.
    """
    errors = xp.permute_dims(-errors if highest else errors, (1, 0))
    usable = xp.logical_not(xp.isnan(errors))
    errors = xp.where(usable, errors, xp.full_like(errors, float("inf")))
    least = xp.min(errors, axis=1, keepdims=True)
    slack = xp.abs(least) * (TIE - 1)
    is_best = xp.logical_or(errors <= least, errors - least <= slack)
    width = xp.permute_dims(hi - lo, (1, 0))
    width = xp.where(is_best, width, xp.full_like(width, -1.0))
    return last_true(width >= xp.max(width, axis=1, keepdims=True), xp=xp)
