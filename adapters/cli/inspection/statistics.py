"""Describe a file of statistics: a line for each tensor."""

from argparse import Namespace
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import qcore
from qcore import Histogram
from qcore.adapters.cli.arguments import method_options
from qcore.adapters.cli.errors import BadInputError
from qcore.adapters.cli.table import table
from qcore.adapters.cli.units import size
from qcore.adapters.codes import activation_spec
from qcore.statistics import Statistics

DEFAULTS = {
    "Histogram": "mse",
    "MovingRange": "moving_average",
    "Range": "minmax",
    "Top2": "isotone",
}
"""Which method is shown if none was asked for."""

HEADER = ("tensor", "kind", "min", "max", "zeros", "NaN", "inf", "method", "lo", "hi")


def describe(path: Path, arguments: Namespace) -> Iterator[str]:
    """Yield what was seen of each tensor, and the range that a method chooses.

    A line tells of all channels: how often, and the ends of the widest range.
    """
    statistics = qcore.load(path)
    spec = activation_spec(arguments.activation, arguments.symmetric)
    options = method_options(arguments)
    rows = [
        (name, _kind(state), *_seen(state), *_range(name, state, spec, method, options))
        for name, state in statistics.items()
        for method in [arguments.method or DEFAULTS[type(state).__name__]]
    ]
    yield f"{path}: statistics of {len(rows)} tensors; {size(path.stat().st_size)}."
    yield f"Ranges are those for {spec.format.name}, {_symmetry(spec)}."
    yield ""
    yield from table((*HEADER, "SQNR dB"), rows, text=2)


def _symmetry(spec: qcore.QuantSpec) -> str:
    return "symmetric" if spec.symmetric else "asymmetric"


def _kind(state: Statistics) -> str:
    name = type(state).__name__
    return name if state.extents == () else f"{name} x {state.channels}"


def _seen(state: Statistics) -> tuple[str, ...]:
    low, high = float(state.min.min()), float(state.max.max())
    ends = (f"{low:.6g}", f"{high:.6g}") if low <= high else ("-", "-")
    return *ends, _zeros(state), str(state.nans.sum()), str(state.infs.sum())


def _zeros(state: Statistics) -> str:
    if not isinstance(state, Histogram):
        return "-"
    zeros = int(state.zeros.sum())
    total = zeros + int(state.counts.sum())
    return f"{zeros / total:.1%}" if total else "-"


def _range(
    name: str,
    state: Statistics,
    spec: qcore.QuantSpec,
    method: str,
    options: Mapping[str, Any],
) -> tuple[str, str, str, str]:
    """Return the method, the ends of the range it chooses and the expected SQNR."""
    how = {"nonfinite": "ignore", **options}
    try:
        low, high = qcore.compute_range(state, spec, method, **how)
        qparams = qcore.calibrate(state, spec, method, **how)
    except qcore.NoDataError:
        return method, "-", "-", "-"
    except (TypeError, ValueError) as error:
        raise BadInputError(f"{name!r}: {error}") from error
    ends = f"{float(low.min()):.6g}", f"{float(high.max()):.6g}"
    if not isinstance(state, Histogram):
        return method, *ends, "-"
    sqnr = qcore.expected_error(state, qparams, metric="sqnr")
    return method, *ends, f"{float(sqnr.min()):.1f}"
